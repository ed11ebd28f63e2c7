// Between FC1 and FC2 of W4A4 experts, and before FC1 where the rows of a token's experts differ.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "kernels/cuda_sm90/moe_decode_pairs.h"
#include "nvfp4/quantize.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

// pair_of_row[p] = p, or -1 where the pair's expert is not here.
[[nodiscard]] Status list_pairs(const DecodePairs& pairs, std::int32_t* pair_of_row, DeviceStream stream);

// Rows of float32 to NVFP4, as kernels/contract/linear.h says, written back as numbers e2m1 * e4m3 in BF16:
//   h[p, i] ~ values[p, i] * factors[p]      rows of experts that are not here are left alone
struct RoundRows {
  const float* h = nullptr;  // [num_pairs, num_cols]
  std::uint32_t num_cols = 0;
  DecodePairs pairs;
  // [experts], as the producer stores them; null: each row has its own.
  const float* input_scales = nullptr;
  QuantizerRule rule = QuantizerRule::kModelOpt;
  Bf16Bits* values = nullptr;  // [num_pairs, num_cols]
  float* factors = nullptr;    // [num_pairs]
};
[[nodiscard]] Status round_rows(const RoundRows& round, DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm90
