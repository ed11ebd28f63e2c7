#include "device/runtime.h"

namespace nvfp4::runtime {
namespace {

Error absent() {
  return Error{ErrorCode::kUnsupported, "CUDA", "this program was built without CUDA; build it where nvcc is"};
}

}  // namespace

Result<std::uint32_t> num_devices() { return absent(); }
Result<DeviceCaps> query_caps(std::uint32_t) { return absent(); }
Status set_device(std::uint32_t) { return absent(); }
Status synchronize_device() { return absent(); }
Status last_launch(const char*) { return absent(); }
Result<Memory> memory() { return absent(); }
Result<void*> allocate(std::size_t) { return absent(); }
void release(void*) {}
Result<void*> allocate_pinned(std::size_t) { return absent(); }
void release_pinned(void*) {}
Status copy(void*, const void*, std::size_t, CopyKind, DeviceStream) { return absent(); }
Status fill(void*, std::uint8_t, std::size_t, DeviceStream) { return absent(); }
Result<DeviceStream> create_stream() { return absent(); }
void release(DeviceStream) {}
Status synchronize(DeviceStream) { return absent(); }
Status begin_capture(DeviceStream) { return absent(); }
Result<GraphExec> end_capture(DeviceStream) { return absent(); }
Status launch(GraphExec, DeviceStream) { return absent(); }
void release(GraphExec) {}
Result<DeviceEvent> create_event() { return absent(); }
void release(DeviceEvent) {}
Status record(DeviceEvent, DeviceStream) { return absent(); }
Status wait(DeviceStream, DeviceEvent) { return absent(); }
Status synchronize(DeviceEvent) { return absent(); }
Result<float> elapsed_us(DeviceEvent, DeviceEvent) { return absent(); }

}  // namespace nvfp4::runtime
