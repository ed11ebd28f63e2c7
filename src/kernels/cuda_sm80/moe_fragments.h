// The two products of a mixture-of-experts layer, of experts whose rows are sorted.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_moe.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm80 {

struct ExpertProduct {
  const std::uint8_t* weights = nullptr;  // [E][row groups][ceil(K / 64)][576]
  std::uint32_t row_groups = 0;           // of one expert
  std::uint32_t in_features = 0;          // K
  const std::int32_t* offsets = nullptr;  // [E + 1] first sorted row of each expert; null: one expert, num_rows
  std::uint32_t num_experts = 1;
  std::uint32_t num_rows = 0;                 // all pairs; without offsets all tokens
  const Bf16Bits* x = nullptr;                // [rows of x, K]
  const std::int32_t* pair_of_row = nullptr;  // sorted row r has row pair_of_row[r] / top_k of x; null: r
  std::uint32_t top_k = 1;
  const float* row_factors = nullptr;   // [rows of x] or null: 1
  const float* pair_factors = nullptr;  // [pairs] or null: 1; with pair_of_row
  std::uint32_t sixteen = 16;           // see decode_row_scales()
  std::uint32_t row_tiles = 0;          // of the shape, as the launch sets it
};

// h[r, i] = act(gate[r, i], up[r, i]), each sum * 2^8 * scale2 * factors of the row.
struct ExpertUp {
  ExpertProduct product;
  const float* gate_scale2 = nullptr;  // [E]; null without a gate
  const float* up_scale2 = nullptr;    // [E]
  ExpertFunction function = ExpertFunction::kSilu;
  float alpha = 0.0F, beta = 0.0F, limit = 0.0F;
  std::uint32_t intermediate = 0;  // I
  Bf16Bits* h = nullptr;           // [sorted rows, I], or
  float* h_f32 = nullptr;          // [pairs, I]; without pair_of_h [rows, I]
  const std::int32_t* pair_of_h = nullptr;
};

// partial[r, n] = sum * 2^8 * scale2 * factor of the row.
struct ExpertDown {
  ExpertProduct product;
  const float* scale2 = nullptr;  // [E]
  float* partial = nullptr;       // [sorted rows, 16 * row groups]
};

// Shared memory that the kernels may have; before the first launch.
[[nodiscard]] Status allow_expert_up(const char* name);
[[nodiscard]] Status allow_expert_down(const char* name);
[[nodiscard]] Status run_expert_up(const char* name, std::uint32_t shape_idx, const ExpertUp& up, DeviceStream stream);
[[nodiscard]] Status run_expert_down(const char* name, std::uint32_t shape_idx, const ExpertDown& down,
                                     DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm80
