// Which rows of a grouped product belong to which expert. A pair p = t * k + j is slot j of token t; its row is its
// place in the order of experts, then of pairs:
//
//   row_of_pair[p] = number of pairs (e', p') < (e, p)      -1 when the pair's expert is not here
//   pair_of_row    the inverse, [T * k]; -1 from row offsets[E] on
//   offsets[e]     first row of expert e, [E + 1]; offsets[E]: number of rows
//
// Every place is a count, so the result does not depend on the order in which threads come. Up to 2048 pairs: one
// kernel of one block. More: one that counts by chunk, one that places.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/device_stream.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

// What a pair's id means on this device.
struct ExpertLookup {
  const std::int32_t* expert_map = nullptr;  // [num_ids] -> place; anything outside of [0, num_experts): not here
  std::uint32_t num_ids = 0;                 // other ids are not here
  std::uint32_t num_experts = 0;             // E, at most kMaxMoeExperts
};

// Device memory that a sort writes.
struct SortedPairs {
  std::int32_t* offsets = nullptr;      // [E + 1]
  std::int32_t* pair_of_row = nullptr;  // [T * k]
  std::int32_t* row_of_pair = nullptr;  // [T * k]
};

struct SortByExpert {
  std::uint32_t num_tokens = 0;  // T
  std::uint32_t top_k = 0;       // k, at most kMaxMoeTopK
  ExpertLookup lookup;
  const std::int32_t* expert_ids = nullptr;  // [T, k]
  SortedPairs out;
};

// For up to max_tokens.
[[nodiscard]] std::size_t sort_workspace_bytes(std::uint32_t max_tokens, std::uint32_t num_experts);

// The workspace may hold anything; num_tokens is above 0.
[[nodiscard]] Status sort_by_expert(const SortByExpert& sort, std::byte* workspace, DeviceStream stream);
// The second of the two kernels for many pairs, when the first one's counts are in the workspace.
[[nodiscard]] Status place_counted_pairs(const SortByExpert& sort, std::byte* workspace, DeviceStream stream);

}  // namespace nvfp4::kernels
