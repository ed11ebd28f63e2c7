#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <string>

#include "device/runtime.h"

namespace nvfp4::runtime {
namespace {

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Error no_device(const std::string& why) {
  return Error{ErrorCode::kNotFound, "CUDA", "there is no CUDA device: " + why};
}

// Without a driver the runtime calls it too old, of version 0.
Error driver_error() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    static_cast<void>(cudaGetLastError());
    return no_device("NVIDIA's driver is not installed");
  }
  return Error{ErrorCode::kUnsupported, "CUDA",
               fmt::format("the driver knows CUDA {}, this program was built with {}; update the driver",
                           version_text(driver), version_text(CUDART_VERSION))};
}

Error to_error(cudaError_t error, const char* what) {
  static_cast<void>(cudaGetLastError());  // it is reported here, and not again
  if (error == cudaErrorInsufficientDriver) return driver_error();
  if (error == cudaErrorNoDevice) return no_device("the driver sees none");
  if (error == cudaErrorMemoryAllocation) {
    return Error{ErrorCode::kIo, "CUDA", fmt::format("{}: the device has not enough free memory", what)};
  }
  return Error{ErrorCode::kIo, "CUDA", fmt::format("{}: {}", what, cudaGetErrorString(error))};
}

Status to_status(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  return to_error(error, what);
}

class Attributes {
 public:
  explicit Attributes(std::uint32_t device_idx) : device_idx_(static_cast<int>(device_idx)) {}

  std::uint32_t operator()(cudaDeviceAttr attribute) {
    int value = 0;
    const cudaError_t error = cudaDeviceGetAttribute(&value, attribute, device_idx_);
    if (error != cudaSuccess) error_ = error;
    return static_cast<std::uint32_t>(value);
  }
  [[nodiscard]] cudaError_t error() const { return error_; }

 private:
  int device_idx_;
  cudaError_t error_ = cudaSuccess;
};

cudaMemcpyKind to_cuda(CopyKind kind) {
  if (kind == CopyKind::kToDevice) return cudaMemcpyHostToDevice;
  return kind == CopyKind::kToHost ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
}

}  // namespace

Result<std::uint32_t> num_devices() {
  int count = 0;
  if (const auto error = cudaGetDeviceCount(&count); error != cudaSuccess) return to_error(error, "count devices");
  if (count == 0) return no_device("the driver sees none");
  return static_cast<std::uint32_t>(count);
}

Result<DeviceCaps> query_caps(std::uint32_t device_idx) {
  DeviceCaps caps;
  caps.device_idx = device_idx;
  cudaDeviceProp properties{};
  if (const auto error = cudaGetDeviceProperties(&properties, static_cast<int>(device_idx)); error != cudaSuccess) {
    return to_error(error, "read the device's properties");
  }
  caps.name = properties.name;
  caps.memory_bytes = properties.totalGlobalMem;
  Attributes attribute(device_idx);
  caps.sm = attribute(cudaDevAttrComputeCapabilityMajor) * 10 + attribute(cudaDevAttrComputeCapabilityMinor);
  caps.num_sms = attribute(cudaDevAttrMultiProcessorCount);
  caps.num_threads_per_sm = attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
  caps.num_registers_per_sm = attribute(cudaDevAttrMaxRegistersPerMultiprocessor);
  caps.shared_bytes_per_sm = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  caps.shared_bytes_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  caps.reserved_shared_bytes = attribute(cudaDevAttrReservedSharedMemoryPerBlock);
  caps.l2_bytes = attribute(cudaDevAttrL2CacheSize);
  if (attribute.error() != cudaSuccess) return to_error(attribute.error(), "read the device's attributes");
  int driver = 0;
  if (const auto error = cudaDriverGetVersion(&driver); error != cudaSuccess) {
    return to_error(error, "read the driver's version");
  }
  caps.driver_version = static_cast<std::uint32_t>(driver);
  caps.runtime_version = CUDART_VERSION;
  return caps;
}

Status set_device(std::uint32_t device_idx) {
  return to_status(cudaSetDevice(static_cast<int>(device_idx)), "select the device");
}

Status synchronize_device() { return to_status(cudaDeviceSynchronize(), "wait for the device"); }

Status last_launch(const char* what) { return to_status(cudaGetLastError(), what); }

Result<Memory> memory() {
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  if (const auto error = cudaMemGetInfo(&free_bytes, &total_bytes); error != cudaSuccess) {
    return to_error(error, "ask for free memory");
  }
  return Memory{free_bytes, total_bytes};
}

Result<void*> allocate(std::size_t num_bytes) {
  void* data = nullptr;
  if (const auto error = cudaMalloc(&data, num_bytes); error != cudaSuccess) {
    return to_error(error, fmt::format("allocate {} bytes", num_bytes).c_str());
  }
  return data;
}

void release(void* data) { static_cast<void>(cudaFree(data)); }

Result<void*> allocate_pinned(std::size_t num_bytes) {
  void* data = nullptr;
  if (const auto error = cudaMallocHost(&data, num_bytes); error != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return Error{ErrorCode::kIo, "CUDA",
                 fmt::format("allocate {} bytes of pinned memory: {}", num_bytes, cudaGetErrorString(error))};
  }
  return data;
}

void release_pinned(void* data) { static_cast<void>(cudaFreeHost(data)); }

Status copy(void* to, const void* from, std::size_t num_bytes, CopyKind kind, DeviceStream stream) {
  return to_status(cudaMemcpyAsync(to, from, num_bytes, to_cuda(kind), stream), "copy");
}

Status fill(void* to, std::uint8_t value, std::size_t num_bytes, DeviceStream stream) {
  return to_status(cudaMemsetAsync(to, value, num_bytes, stream), "fill");
}

Result<DeviceStream> create_stream() {
  DeviceStream stream = nullptr;
  if (const auto error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking); error != cudaSuccess) {
    return to_error(error, "create a stream");
  }
  return stream;
}

void release(DeviceStream stream) { static_cast<void>(cudaStreamDestroy(stream)); }

Status synchronize(DeviceStream stream) { return to_status(cudaStreamSynchronize(stream), "wait for a stream"); }

Status begin_capture(DeviceStream stream) {
  return to_status(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin to capture a graph");
}

Result<GraphExec> end_capture(DeviceStream stream) {
  cudaGraph_t graph = nullptr;
  if (const auto error = cudaStreamEndCapture(stream, &graph); error != cudaSuccess) {
    return to_error(error, "capture a graph");
  }
  GraphExec exec = nullptr;
  const auto error = cudaGraphInstantiate(&exec, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  if (error != cudaSuccess) return to_error(error, "instantiate a graph");
  return exec;
}

Status launch(GraphExec graph, DeviceStream stream) {
  return to_status(cudaGraphLaunch(graph, stream), "launch a graph");
}

void release(GraphExec graph) { static_cast<void>(cudaGraphExecDestroy(graph)); }

Result<DeviceEvent> create_event() {
  DeviceEvent event = nullptr;
  if (const auto error = cudaEventCreate(&event); error != cudaSuccess) return to_error(error, "create an event");
  return event;
}

void release(DeviceEvent event) { static_cast<void>(cudaEventDestroy(event)); }

Status record(DeviceEvent event, DeviceStream stream) {
  return to_status(cudaEventRecord(event, stream), "record an event");
}

Status wait(DeviceStream stream, DeviceEvent event) {
  return to_status(cudaStreamWaitEvent(stream, event, 0), "wait for an event");
}

Status synchronize(DeviceEvent event) { return to_status(cudaEventSynchronize(event), "wait for an event"); }

Result<float> elapsed_us(DeviceEvent begin, DeviceEvent end) {
  float elapsed_ms = 0.0F;
  if (const auto error = cudaEventElapsedTime(&elapsed_ms, begin, end); error != cudaSuccess) {
    return to_error(error, "measure time between events");
  }
  return elapsed_ms * 1000.0F;
}

}  // namespace nvfp4::runtime
