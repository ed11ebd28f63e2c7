// Which kernel and shape multiply weights that lie in rows, for a number of tokens.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cuda_sm80/linear_rows_shapes.h"
#include "kernels/cuda_sm80/tile_choice.h"

namespace nvfp4::kernels::cuda_sm80 {

struct RowsLayer {
  std::uint32_t out_features = 0;
  std::uint32_t in_features = 0;
  std::uint32_t weight_bytes = 1;  // of a number: 1 or 2
  std::uint32_t num_sms = 0;
  std::uint32_t shared_bytes_per_block = 0;
  std::uint32_t shared_bytes_per_sm = 0;
  bool batch_invariant =
      false;  // the kernel for many tokens only, K not split: the order of its sums is always the same
};

struct RowsChoice {
  bool is_few = false;
  FewShape few;
  TileChoice tiles;  // of kManyShapes

  [[nodiscard]] constexpr const ManyShape& many() const { return kManyShapes[tiles.kind_idx]; }
};

// Shared memory that the smallest blocks take.
[[nodiscard]] std::uint32_t least_rows_bytes(const RowsLayer& layer);
// For a layer that fits; num_tokens above 0.
[[nodiscard]] RowsChoice choose_rows(const RowsLayer& layer, std::uint32_t num_tokens);

// Of a block of the kernel for many tokens.
[[nodiscard]] std::uint32_t many_shared_bytes(const RowsLayer& layer, const TileChoice& tiles);
// Why one launch cannot have that many tokens, in words; empty when it can.
[[nodiscard]] std::string many_refusal(const RowsLayer& layer, std::uint32_t max_tokens);

// The most that choose_rows() asks for with up to max_tokens.
[[nodiscard]] TileNeeds rows_needs(const RowsLayer& layer, std::uint32_t max_tokens);

}  // namespace nvfp4::kernels::cuda_sm80
