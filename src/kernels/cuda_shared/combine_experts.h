// What the experts answer, added up for each token:
//
//   y[t] = round_bf16(sum_j w[t, j] * partial[row_of_pair[t, j]] + g[t] * shared[t])
//
// j in the order of the slots, the shared expert last, each step one fused multiply-add in float32; slots with row -1
// add nothing. Bound: memory, each partial is read once.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

struct CombineExperts {
  std::uint32_t num_tokens = 0;               // T
  std::uint32_t top_k = 0;                    // k, at most kMaxMoeTopK
  std::uint32_t hidden = 0;                   // H, a multiple of 16
  const float* partial = nullptr;             // [rows, H]
  const std::int32_t* row_of_pair = nullptr;  // [T, k]
  const float* router_weights = nullptr;      // [T, k]; null: 1
  const float* shared = nullptr;              // [T, H] or null
  const float* shared_weights = nullptr;      // [T]; null: 1
  Bf16Bits* y = nullptr;                      // [T, H]
};

// num_tokens is above 0.
[[nodiscard]] Status combine_experts(const CombineExperts& combine, DeviceStream stream);

// So that kernels that take all memory of a multiprocessor as shared memory are there meanwhile. On the current device,
// before the first run.
[[nodiscard]] Status let_combine_overlap();

}  // namespace nvfp4::kernels
