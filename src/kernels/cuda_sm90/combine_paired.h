// The sum over a token's experts, from partial results in half the bytes of float32:
//
//   y[t] = round_bf16(sum_j w[t, j] * scale[r] * paired[r] + g[t] * shared[t])        r = row_of_pair[t, j]
//
// j in the order of the slots, the shared expert last, each step one fused multiply-add in float32; slots with row -1
// add nothing. paired[r] is an integer times a power of two, which w * scale is multiplied with first: the same bits,
// unless that is a subnormal number. Bound: memory, each partial result is read once.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

struct CombinePaired {
  std::uint32_t num_tokens = 0;               // T
  std::uint32_t top_k = 0;                    // k
  std::uint32_t hidden = 0;                   // H, a multiple of 16
  const std::uint32_t* paired = nullptr;      // [rows][H / 16][8], paired_floats.cuh
  const float* scales = nullptr;              // [rows]
  const std::int32_t* row_of_pair = nullptr;  // [T, k]
  const float* router_weights = nullptr;      // [T, k]; null: 1
  const float* shared = nullptr;              // [T, H] or null
  const float* shared_weights = nullptr;      // [T]; null: 1
  Bf16Bits* y = nullptr;                      // [T, H]
};

// num_tokens is above 0.
[[nodiscard]] Status combine_paired(const CombinePaired& combine, DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm90
