#include "prepare/relayout.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "base/large_pages.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::prepare {

namespace {

// Groups of 16 rows (fewer at an expert's end) of all experts, one after the other in the file and in the tiles.
class RowGroups {
 public:
  explicit RowGroups(const PreparedWeight& weight)
      : rows_(weight.out_features),
        cols_(weight.in_features),
        block_size_(weight.block_size),
        num_experts_(weight.num_experts),
        scales_(reinterpret_cast<const std::uint8_t*>(weight.block_scales.data())) {}

  [[nodiscard]] std::uint64_t count() const { return num_experts_ * per_expert_; }
  [[nodiscard]] std::uint64_t tile_bytes() const { return Tile16x64::num_bytes(Tile16x64::kRows, cols_); }
  // Of what the file has before a group.
  [[nodiscard]] std::uint64_t code_bytes_before(std::uint64_t group) const { return first_row(group) * cols_ / 2; }
  [[nodiscard]] std::uint64_t scale_bytes_before(std::uint64_t group) const {
    return first_row(group) * (cols_ / block_size_);
  }
  // codes: of this group.
  void pack(std::uint64_t group, const std::uint8_t* codes, std::uint8_t* tiles) const {
    const std::uint64_t num_rows = std::min(Tile16x64::kRows, rows_ - group % per_expert_ * Tile16x64::kRows);
    pack_row_group(codes, scales_ + scale_bytes_before(group), num_rows, cols_, block_size_, tiles);
  }

 private:
  [[nodiscard]] std::uint64_t first_row(std::uint64_t group) const {
    return group / per_expert_ * rows_ + group % per_expert_ * Tile16x64::kRows;
  }

  std::uint64_t rows_, cols_, block_size_, num_experts_;
  std::uint64_t per_expert_ = Tile16x64::num_row_groups(rows_);
  const std::uint8_t* scales_;
};

// Gives whole pages behind [0, num_bytes) back. They are there only in buffers that lie in large pages.
void discard_behind(LargeBuffer& buffer, std::uint64_t num_bytes) {
  const std::uint64_t begin = (num_bytes + kLargePageBytes - 1) / kLargePageBytes * kLargePageBytes;
  if (begin < buffer.size()) discard_large_pages(buffer.data() + begin, buffer.size() - begin);
}

}  // namespace

// In place, from the end: a group's tiles take more bytes than its codes, so that they lie over the codes of groups
// behind it, which are done, or of its own. Groups whose tiles lie behind all codes that are left go together.
Status relayout(PreparedWeight& weight, kernels::WeightLayout layout, WorkerPool& pool) {
  assert(weight.layout == kernels::WeightLayout::kRowMajor);
  if (layout == kernels::WeightLayout::kRowMajor) return {};
  const RowGroups groups(weight);
  const std::uint64_t tile_bytes = groups.tile_bytes();
  if (!weight.elements.grow(groups.count() * tile_bytes)) {
    return Error{ErrorCode::kIo, weight.name, "there is not enough memory for it"};
  }
  auto* const bytes = reinterpret_cast<std::uint8_t*>(weight.elements.data());
  std::vector<std::uint8_t> copy;
  for (std::uint64_t end = groups.count(), begin = 0; end > 0; end = begin) {
    begin = (groups.code_bytes_before(end) + tile_bytes - 1) / tile_bytes;
    if (begin < end) {
      pool.run(end - begin, [&](std::size_t piece_idx, std::size_t) {
        const std::uint64_t group = begin + piece_idx;
        groups.pack(group, bytes + groups.code_bytes_before(group), bytes + group * tile_bytes);
      });
    } else {
      begin = end - 1;
      copy.assign(bytes + groups.code_bytes_before(begin), bytes + groups.code_bytes_before(end));
      groups.pack(begin, copy.data(), bytes + begin * tile_bytes);
    }
    discard_behind(weight.block_scales, groups.scale_bytes_before(begin));
  }
  weight.block_scales = LargeBuffer();
  weight.layout = layout;
  return {};
}

}  // namespace nvfp4::prepare
