// How the kernel for few tokens divides a linear layer: known without CUDA.
#pragma once

#include <cstdint>

#include "kernels/contract/device_linear.h"
#include "kernels/cuda_sm90/linear_decode_pipe.h"

namespace nvfp4::kernels::cuda_sm90 {

struct LinearDecodeChoice {
  std::uint32_t columns = 1;  // tokens of an item, in eights
  DecodePipe pipe;            // slots 0: there is no way
};

// sizes: as decode_sizes() makes them.
[[nodiscard]] LinearDecodeChoice choose_linear_decode(const DeviceLinearProblem& problem, const DevicePlanSizes& sizes,
                                                      std::uint32_t num_tokens);

// What plans of the kernels for few tokens keep of a device.
[[nodiscard]] DevicePlanSizes decode_sizes(const DeviceCaps& caps, std::uint32_t max_tokens);
[[nodiscard]] inline DecodeMemory decode_memory(const DevicePlanSizes& sizes) {
  return {sizes.choice[0], sizes.choice[1]};
}

// Bytes of rounded rows in the workspace: BF16 [T, K]; float32 [T] comes behind them.
[[nodiscard]] inline std::size_t decode_value_bytes(const DeviceLinearProblem& problem, std::uint32_t num_tokens) {
  const std::size_t bytes = std::size_t{num_tokens} * problem.in_features * sizeof(Bf16Bits);
  return (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

}  // namespace nvfp4::kernels::cuda_sm90
