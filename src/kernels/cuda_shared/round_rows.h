// Rows of float32 to NVFP4, as they are between FC1 and FC2 of W4A4 experts.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "kernels/cuda_shared/sort_by_expert.h"
#include "nvfp4/quantize.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

// Rows of float32 to NVFP4, as kernels/contract/linear.h says, written back as numbers e2m1 * e4m3 in BF16:
//   h[r, i] ~ values[r, i] * factors[r]      rows of experts that are not here are left alone
struct RoundRows {
  const float* h = nullptr;  // [num_rows, num_cols]
  std::uint32_t num_rows = 0;
  std::uint32_t num_cols = 0;
  const std::int32_t* expert_ids = nullptr;  // [num_rows]; null: one expert
  ExpertLookup lookup;
  bool ids_are_early = false;  // written before the kernel just ahead began
  // [experts], as the producer stores them; null: each row has its own.
  const float* input_scales = nullptr;
  QuantizerRule rule = QuantizerRule::kModelOpt;
  Bf16Bits* values = nullptr;  // [num_rows, num_cols]
  float* factors = nullptr;    // [num_rows]
};
// num_rows is above 0.
[[nodiscard]] Status round_rows(const RoundRows& round, DeviceStream stream);

// As let_quantizer_overlap().
[[nodiscard]] Status let_round_rows_overlap();

}  // namespace nvfp4::kernels
