#include "prepare/relayout.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "layouts/tile_16x64.h"

namespace nvfp4::prepare {

Status relayout(PreparedWeight& weight, kernels::WeightLayout layout, WorkerPool& pool) {
  assert(weight.layout == kernels::WeightLayout::kRowMajor);
  if (layout == kernels::WeightLayout::kRowMajor) return {};
  const std::uint64_t rows = weight.out_features;
  const std::uint64_t cols = weight.in_features;
  const std::uint64_t expert_bytes = Tile16x64::num_bytes(rows, cols);
  LargeBuffer tiles(weight.num_experts * expert_bytes);
  if (!tiles.valid()) return Error{ErrorCode::kIo, weight.name, "there is not enough memory for it"};
  const std::uint64_t num_groups = Tile16x64::num_row_groups(rows);
  const auto* const codes = reinterpret_cast<const std::uint8_t*>(weight.elements.data());
  const auto* const scales = reinterpret_cast<const std::uint8_t*>(weight.block_scales.data());
  auto* const out = reinterpret_cast<std::uint8_t*>(tiles.data());
  // Contiguous ranges, as the kernels split the rows: memory is first touched by the worker that will read it.
  pool.run(weight.num_experts * num_groups, [&](std::size_t piece_idx, std::size_t) {
    const std::uint64_t group = piece_idx % num_groups;
    const std::uint64_t row = piece_idx / num_groups * rows + group * Tile16x64::kRows;
    pack_row_group(codes + row * cols / 2, scales + row * (cols / weight.block_size),
                   std::min(Tile16x64::kRows, rows - group * Tile16x64::kRows), cols, weight.block_size,
                   out + piece_idx * (expert_bytes / num_groups));
  });
  weight.elements = std::move(tiles);
  weight.block_scales = LargeBuffer();
  weight.layout = layout;
  return {};
}

}  // namespace nvfp4::prepare
