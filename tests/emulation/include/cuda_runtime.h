// Stands in for CUDA's header where kernels are compiled for the host: its keywords, vectors, functions of threads and
// warps, and as much of launching as the kernels use.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulation/device_functions.h"
#include "emulation/dimensions.h"
#include "emulation/emulated_device.h"

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __grid_constant__
#define __shared__ static  // one block runs at a time; emulation/shared_memory.h
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __cluster_dims__(...)

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};

template <class... Parameters>
struct EmulatedCall {
  void (*kernel)(Parameters...);
  std::tuple<std::remove_cv_t<Parameters>...> arguments;

  static void run(const void* call) {
    const auto& mine = *static_cast<const EmulatedCall*>(call);
    std::apply(mine.kernel, mine.arguments);
  }
};

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  using Call = EmulatedCall<Parameters...>;
  nvfp4::emulation::Launch launch;
  launch.kernel = reinterpret_cast<const void*>(kernel);
  launch.call = Call::run;
  launch.parameters = std::make_shared<const Call>(Call{kernel, {std::forward<Arguments>(arguments)...}});
  launch.parameter_bytes = sizeof(Call);
  launch.grid = config->gridDim;
  launch.block = config->blockDim;
  launch.dynamic_bytes = config->dynamicSmemBytes;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) launch.cluster = attribute.val.clusterDim.x;
    if (attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization) {
      launch.may_overlap = attribute.val.programmaticStreamSerializationAllowed != 0;
    }
  }
  return nvfp4::emulation::submit(launch) ? cudaSuccess : cudaErrorInvalidValue;
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  return nvfp4::emulation::allow_dynamic_shared(reinterpret_cast<const void*>(kernel),
                                                static_cast<std::uint64_t>(value))
             ? cudaSuccess
             : cudaErrorInvalidValue;
}

// As many as there are multiprocessors for.
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* count, Kernel /*kernel*/, const cudaLaunchConfig_t* config) {
  std::uint32_t blocks = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension) blocks = config->attrs[i].val.clusterDim.x;
  }
  *count = static_cast<int>(nvfp4::emulation::emulated_device().num_sms / blocks);
  return cudaSuccess;
}
