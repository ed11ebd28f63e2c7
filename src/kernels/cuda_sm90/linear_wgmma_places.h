// The workspace of a linear layer for many tokens, and what is known of its blocks without CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/device_linear.h"

namespace nvfp4::kernels::cuda_sm90 {

// Of those blocks of which a multiprocessor runs two.
inline constexpr std::uint32_t kPairWarps = 8;  // that multiply
inline constexpr std::uint32_t kPairColumns = 64;
inline constexpr std::uint32_t kRowsOfWarp = 16;

// Where blocks share K through memory: a counter for each of their warps, which are as many as there can be on the
// device, and the sums of these warps; rounded rows: BF16 [T, K], then float32 [T].
struct LinearWgmmaPlaces {
  std::size_t zeroed_bytes = 0, parts_at = 0, values_at = 0, factors_at = 0, num_bytes = 0;

  LinearWgmmaPlaces(const DeviceLinearProblem& problem, std::uint32_t num_sms, std::uint32_t max_tokens) {
    if (!problem.batch_invariant) {
      const std::size_t num_warps = std::size_t{num_sms} * 2 * kPairWarps;
      zeroed_bytes = aligned(num_warps * sizeof(std::uint32_t));
      parts_at = zeroed_bytes;
      num_bytes = parts_at + num_warps * kPairColumns * kRowsOfWarp * sizeof(float);
    }
    if (!is_rounded(problem)) return;
    values_at = num_bytes;
    factors_at = values_at + aligned(std::size_t{max_tokens} * problem.in_features * sizeof(Bf16Bits));
    num_bytes = factors_at + max_tokens * sizeof(float);
  }

 private:
  static constexpr std::size_t aligned(std::size_t bytes) {
    return (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
