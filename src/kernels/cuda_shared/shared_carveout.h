// A multiprocessor divides its memory into L1 cache and shared memory, and kernels of which one wants another share
// cannot be there together: small kernels between those that take all of it as shared memory must want the same, or
// nothing overlaps.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "nvfp4/result.h"

namespace nvfp4::kernels {

// For every launch on the current device.
template <class Kernel>
Status take_all_as_shared_memory(const char* name, Kernel kernel) {
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                                 static_cast<int>(cudaSharedmemCarveoutMaxShared));
  if (error == cudaSuccess) return {};
  return Error{ErrorCode::kUnsupported, name,
               std::string(cudaGetErrorString(error)) + "; the kernel cannot run on this device"};
}

}  // namespace nvfp4::kernels
