// The kernels with one sink in all shapes, and their launch.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "kernels/cuda_sm120/fp4_kernel.cuh"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm120 {

template <class Sink>
class Fp4Launch {
 public:
  // Shared memory that the kernels may have; before the first launch.
  static Status allow(const char* name) {
    for (std::size_t i = 0; i < kKernels.size(); ++i) {
      const cudaError_t error = cudaFuncSetAttribute(kKernels[i], cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                     static_cast<int>(kFp4Shapes[i].shared_bytes()));
      if (error == cudaSuccess) continue;
      return Error{ErrorCode::kUnsupported, name,
                   std::string(cudaGetErrorString(error)) + "; the kernel cannot run on this device"};
    }
    return {};
  }

  // max_items: as many as there may be.
  static Status run(const char* name, std::uint32_t shape_idx, std::uint64_t max_items, std::uint32_t num_sms,
                    const Fp4Call& call, const Sink& sink, DeviceStream stream) {
    const Fp4Shape& shape = kFp4Shapes[shape_idx];
    const std::uint64_t at_once = std::uint64_t{num_sms} * shape.blocks_per_sm;
    const LaunchShape launched{.blocks = static_cast<std::uint32_t>(std::min(max_items, at_once)),
                               .num_threads = shape.threads(),
                               .shared_bytes = shape.shared_bytes()};
    return launch(name, kKernels[shape_idx], launched, stream, call, sink);
  }

 private:
  using Kernel = void (*)(Fp4Call, Sink);
  template <std::size_t... kIdx>
  static constexpr std::array<Kernel, sizeof...(kIdx)> all(std::index_sequence<kIdx...> /*indices*/) {
    return {fp4_kernel<kIdx, Sink>...};
  }
  static constexpr auto kKernels = all(std::make_index_sequence<kFp4Shapes.size()>());
};

}  // namespace nvfp4::kernels::cuda_sm120
