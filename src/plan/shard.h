// What one rank of several has of a weight. Cuts lie between groups of 16: block scales are never divided.
#pragma once

#include <cstdint>

#include "nvfp4/result.h"
#include "plan/layer.h"

namespace nvfp4::plan {

// Rows, columns or experts [begin, end) of a whole, and how many the rank's weight has: the same for all ranks, those
// beyond the end with zero codes and zero scales.
struct Piece {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t padded = 0;
};

// Of `size` numbers in groups of `unit`, shared as evenly as groups go. The last group may be smaller.
[[nodiscard]] Piece piece_of(std::uint64_t size, std::uint64_t unit, std::uint32_t num_ranks, std::uint32_t rank);

struct Ranks {
  std::uint32_t tensor_parallel = 1;  // share every weight
  std::uint32_t expert_parallel = 1;  // share the experts
};

// The layer that every rank has. Gate and up are padded each for itself; k and v heads that are fewer than ranks are
// on several of them. An Error where a cut is not possible.
[[nodiscard]] Result<Layer> shard_of(const Layer& layer, const Ranks& ranks);

}  // namespace nvfp4::plan
