#include "prepare/relayout.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "layouts/tile_16x64.h"

namespace nvfp4::prepare {

namespace {

constexpr std::uint64_t kStepBytes = 1 << 20;

}  // namespace

Status relayout(PreparedWeight& weight, kernels::WeightLayout layout, WorkerPool& pool) {
  assert(weight.layout == kernels::WeightLayout::kRowMajor);
  if (layout == kernels::WeightLayout::kRowMajor) return {};
  const std::uint64_t rows = weight.out_features;
  const std::uint64_t cols = weight.in_features;
  const std::uint64_t num_groups = Tile16x64::num_row_groups(rows);
  const std::uint64_t group_bytes = Tile16x64::num_bytes(Tile16x64::kRows, cols);
  const std::uint64_t row_scales = cols / weight.block_size;
  const std::uint64_t num_all_groups = weight.num_experts * num_groups;
  LargeBuffer tiles(num_all_groups * group_bytes);
  if (!tiles.valid()) return Error{ErrorCode::kIo, weight.name, "there is not enough memory for it"};
  const auto* const codes = reinterpret_cast<const std::uint8_t*>(weight.elements.data());
  const auto* const scales = reinterpret_cast<const std::uint8_t*>(weight.block_scales.data());
  auto* const out = reinterpret_cast<std::uint8_t*>(tiles.data());
  const auto first_row = [&](std::uint64_t group) {
    return group / num_groups * rows + group % num_groups * Tile16x64::kRows;
  };
  // Step by step, what was read goes back at once: memory never holds a large weight twice. Within a step, contiguous
  // ranges as kernels split them: pages are touched first by the worker that will read them.
  const std::uint64_t step = std::max<std::uint64_t>(1, kStepBytes / group_bytes);
  for (std::uint64_t begin = 0; begin < num_all_groups; begin += step) {
    const std::uint64_t end = std::min(begin + step, num_all_groups);
    pool.run(end - begin, [&](std::size_t piece_idx, std::size_t) {
      const std::uint64_t group = begin + piece_idx;
      const std::uint64_t row = first_row(group);
      const std::uint64_t num_rows = std::min(Tile16x64::kRows, rows - group % num_groups * Tile16x64::kRows);
      pack_row_group(codes + row * cols / 2, scales + row * row_scales, num_rows, cols, weight.block_size,
                     out + group * group_bytes);
    });
    weight.elements.discard_front(first_row(end) * cols / 2);
    weight.block_scales.discard_front(first_row(end) * row_scales);
  }
  weight.elements = std::move(tiles);
  weight.block_scales = LargeBuffer();
  weight.layout = layout;
  return {};
}

}  // namespace nvfp4::prepare
