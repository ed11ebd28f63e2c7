// device/runtime.h and CUDA's own runtime on the emulated device: work is done when it is asked for.
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "device/runtime.h"
#include "emulation/emulated_device.h"
#include "emulation/global_memory.h"
#include "emulation/launch_order.h"

cudaError_t cudaGetDevice(int* device_idx) {
  *device_idx = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr /*attribute*/, int /*device_idx*/) {
  *value = static_cast<int>(nvfp4::emulation::emulated_device().sm / 10);
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "the launch asks for what the device does not have";
}

struct CUstream_st {};
struct CUgraphExec_st {
  std::vector<nvfp4::emulation::Work> work;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
};

namespace nvfp4::runtime {

Result<std::uint32_t> num_devices() { return 1U; }
Result<DeviceCaps> query_caps(std::uint32_t /*device_idx*/) { return emulation::emulated_device(); }
Status set_device(std::uint32_t /*device_idx*/) { return {}; }
Status synchronize_device() { return {}; }
Status last_launch(const char* /*what*/) { return {}; }
Result<Memory> memory() {
  return Memory{emulation::emulated_device().memory_bytes, emulation::emulated_device().memory_bytes};
}

Result<void*> allocate(std::size_t num_bytes) {
  void* const data = emulation::allocate_global(num_bytes);
  if (data == nullptr) return Error{ErrorCode::kIo, "emulated device", "not enough memory; use smaller shapes"};
  return data;
}
void release(void* data) { emulation::release_global(data); }
Result<void*> allocate_pinned(std::size_t num_bytes) { return std::malloc(num_bytes); }
void release_pinned(void* data) { std::free(data); }
Status copy(void* to, const void* from, std::size_t num_bytes, CopyKind /*kind*/, DeviceStream /*stream*/) {
  emulation::submit([=] {
    emulation::end_all_launches();
    if (num_bytes != 0) std::memcpy(to, from, num_bytes);
  });
  return {};
}
Status fill(void* to, std::uint8_t value, std::size_t num_bytes, DeviceStream /*stream*/) {
  emulation::submit([=] {
    emulation::end_all_launches();
    std::memset(to, value, num_bytes);
  });
  return {};
}

Result<DeviceStream> create_stream() { return new CUstream_st(); }
void release(DeviceStream stream) { delete stream; }
Status synchronize(DeviceStream /*stream*/) {
  emulation::end_all_launches();
  return {};
}
Status begin_capture(DeviceStream /*stream*/) {
  emulation::begin_recording();
  return {};
}
Result<GraphExec> end_capture(DeviceStream /*stream*/) { return new CUgraphExec_st{emulation::end_recording()}; }
Status launch(GraphExec graph, DeviceStream /*stream*/) {
  emulation::end_all_launches();
  for (const emulation::Work& work : graph->work) work();
  emulation::end_all_launches();
  return {};
}
void release(GraphExec graph) { delete graph; }

Result<DeviceEvent> create_event() { return new CUevent_st(); }
void release(DeviceEvent event) { delete event; }
Status record(DeviceEvent event, DeviceStream /*stream*/) {
  event->time = std::chrono::steady_clock::now();
  return {};
}
Status wait(DeviceStream /*stream*/, DeviceEvent /*event*/) { return {}; }
Status synchronize(DeviceEvent /*event*/) { return {}; }
Result<float> elapsed_us(DeviceEvent begin, DeviceEvent end) {
  return std::chrono::duration<float, std::micro>(end->time - begin->time).count();
}

}  // namespace nvfp4::runtime
