// The CUDA runtime as this room uses it: one function for each call, errors as values. Two implementations, of which
// one is built: runtime_cuda.cc, and runtime_absent.cc for builds without CUDA, which refuses everything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/device_caps.h"
#include "device/device_stream.h"
#include "nvfp4/result.h"

struct CUgraphExec_st;

namespace nvfp4::runtime {

using GraphExec = CUgraphExec_st*;

enum class CopyKind : std::uint8_t { kToDevice, kToHost, kOnDevice };

[[nodiscard]] Result<std::uint32_t> num_devices();
[[nodiscard]] Result<DeviceCaps> query_caps(std::uint32_t device_idx);
[[nodiscard]] Status set_device(std::uint32_t device_idx);
[[nodiscard]] Status synchronize_device();
// The error of the last kernel launch of this thread, forgotten thereby; `what` was launched.
[[nodiscard]] Status last_launch(const char* what);
struct Memory {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
};
[[nodiscard]] Result<Memory> memory();

[[nodiscard]] Result<void*> allocate(std::size_t num_bytes);
void release(void* data);
[[nodiscard]] Result<void*> allocate_pinned(std::size_t num_bytes);
void release_pinned(void* data);
[[nodiscard]] Status copy(void* to, const void* from, std::size_t num_bytes, CopyKind kind, DeviceStream stream);
[[nodiscard]] Status fill(void* to, std::uint8_t value, std::size_t num_bytes, DeviceStream stream);

[[nodiscard]] Result<DeviceStream> create_stream();
void release(DeviceStream stream);
[[nodiscard]] Status synchronize(DeviceStream stream);
[[nodiscard]] Status begin_capture(DeviceStream stream);
[[nodiscard]] Result<GraphExec> end_capture(DeviceStream stream);
[[nodiscard]] Status launch(GraphExec graph, DeviceStream stream);
void release(GraphExec graph);

[[nodiscard]] Result<DeviceEvent> create_event();
void release(DeviceEvent event);
[[nodiscard]] Status record(DeviceEvent event, DeviceStream stream);
[[nodiscard]] Status wait(DeviceStream stream, DeviceEvent event);  // work that follows on the stream waits
[[nodiscard]] Status synchronize(DeviceEvent event);
[[nodiscard]] Result<float> elapsed_us(DeviceEvent begin, DeviceEvent end);

}  // namespace nvfp4::runtime
