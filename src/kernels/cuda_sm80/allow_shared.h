// Shared memory that kernels may have; before their first launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm80 {

template <class Kernel>
Status allow_shared(const char* name, Kernel kernel, std::uint32_t shared_bytes) {
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (error == cudaSuccess) return {};
  return Error{ErrorCode::kUnsupported, name,
               std::string(cudaGetErrorString(error)) + "; the kernel cannot run on this device"};
}

}  // namespace nvfp4::kernels::cuda_sm80
