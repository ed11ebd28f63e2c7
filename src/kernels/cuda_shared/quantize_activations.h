// The activations of a linear or grouped layer, rounded as the contract says and written back as BF16 numbers, so that
// the product with BF16 activations runs on them:
//
//   v = x[source(r), k]    * pre_quant_scale[k], rounded to BF16, if there is one    * w[pair(r)], if there are any
//   A(v) = values[r, k] * row_scale[r]                values: exact in BF16
//     k16Bit    values = round_bf16(v), row_scale 1
//     NVFP4     values = e2m1 * e4m3(block scale), row_scale = the second-level scale as a multiplier
//     FP8       values = e4m3, row_scale = the scale
//
// The rounding is that of kernels/contract/linear.h, bit for bit: static scales by expert, dynamic ones by row; a row
// with a NaN or an infinity becomes all NaN.
#pragma once

#include <cstdint>
#include <string>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "kernels/cuda_shared/sort_by_expert.h"
#include "nvfp4/quantize.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kMaxQuantizedFeatures = 32768;

struct QuantizeActivations {
  Activation activation = Activation::kNvfp4Dynamic;
  QuantizerRule rule = QuantizerRule::kModelOpt;
  std::uint32_t num_rows = 0;
  std::uint32_t in_features = 0;           // K, a multiple of 16
  const Bf16Bits* x = nullptr;             // [tokens, K]
  const float* pre_quant_scale = nullptr;  // [K] or null
  // Static scales as the producer stores them: of each expert, or one for all.
  const float* input_scales = nullptr;  // [E] or null: input_scale
  float input_scale = 1.0F;
  // Rows sorted by expert: row r is pair pair_of_row[r] of token pair / top_k; rows of -1 are left alone. Null: row r
  // is token r.
  const std::int32_t* pair_of_row = nullptr;  // [num_rows]
  std::uint32_t top_k = 1;
  const std::int32_t* expert_ids = nullptr;  // [pairs]; with input_scales
  ExpertLookup lookup;
  const float* router_weights = nullptr;  // [pairs] w, where they belong to the input; else null

  // The next kernel begins when those ahead of this one have ended, and may read what they wrote at once.
  bool next_reads_earlier = false;

  Bf16Bits* values = nullptr;  // [num_rows, K]
  float* row_scale = nullptr;  // [num_rows]
};

// num_rows is above 0; in_features at most kMaxQuantizedFeatures.
[[nodiscard]] Status quantize_activations(const QuantizeActivations& quantize, DeviceStream stream);

// Few rows: so that kernels that take all memory of a multiprocessor as shared memory are there meanwhile. On the
// current device, before the first run.
[[nodiscard]] Status let_quantizer_overlap();

}  // namespace nvfp4::kernels
