// Launching a kernel so that it starts before the one ahead of it in the stream has ended (PDL), and its two calls.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <utility>

#include "device/device_stream.h"
#include "kernels/cuda_shared/ptx/grids.cuh"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

struct LaunchShape {
  dim3 blocks = 1;
  std::uint32_t num_threads = 32;
  std::uint32_t shared_bytes = 0;
  std::uint32_t cluster = 1;  // blocks; above 1 only where has_dependent_launches()
};

// Of the current device: dependent launches and clusters, from sm_90 on.
inline bool has_dependent_launches() {
  int device_idx = 0;
  int major = 0;
  return cudaGetDevice(&device_idx) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_idx) == cudaSuccess && major >= 9;
}

namespace launching {

template <class... Parameters>
Status launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, DeviceStream stream,
              bool may_overlap, Parameters... arguments) {
  cudaLaunchAttribute attributes[2];
  cudaLaunchConfig_t config{};
  config.gridDim = shape.blocks;
  config.blockDim = shape.num_threads;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  if (may_overlap) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {shape.cluster, 1, 1};
  }
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, std::move(arguments)...);
  if (error == cudaSuccess) return {};
  return Error{ErrorCode::kUnsupported, name,
               std::string(cudaGetErrorString(error)) + "; the kernel could not be launched"};
}

}  // namespace launching

// As a dependent launch where there are such: the kernel calls wait_for_earlier_kernels() itself.
template <class... Parameters>
Status launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, DeviceStream stream,
              Parameters... arguments) {
  return launching::launch(name, kernel, shape, stream, has_dependent_launches(), std::move(arguments)...);
}

// The kernel starts when those ahead of it in the stream have ended.
template <class... Parameters>
Status launch_in_order(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, DeviceStream stream,
                       Parameters... arguments) {
  return launching::launch(name, kernel, shape, stream, false, std::move(arguments)...);
}

}  // namespace nvfp4::kernels
