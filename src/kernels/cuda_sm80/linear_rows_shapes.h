// The shapes in which the kernels for weights in rows are built.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda_sm80/tile_choice.h"

namespace nvfp4::kernels::cuda_sm80 {

// Few tokens: a block has 16 * groups rows and 8 * columns tokens, its warps share K.
struct FewShape {
  static constexpr std::uint32_t kWarps = 8;
  static constexpr std::uint32_t kThreads = 32 * kWarps;

  std::uint32_t groups = 1;
  std::uint32_t columns = 1;

  [[nodiscard]] constexpr std::uint32_t rows() const { return 16 * groups; }
  [[nodiscard]] constexpr std::uint32_t tokens() const { return 8 * columns; }
  // 16 bytes of two rows of each group and of as many numbers of K of a token of each column.
  [[nodiscard]] constexpr std::uint32_t pieces(std::uint32_t weight_bytes) const {
    return 2 * groups + columns * 2 / weight_bytes;
  }
  [[nodiscard]] constexpr std::uint32_t stages() const { return groups == 4 ? 4 : 6; }
  [[nodiscard]] constexpr std::uint32_t shared_bytes(std::uint32_t weight_bytes) const {
    return stages() * pieces(weight_bytes) * 16 * kThreads;
  }
};
// Most rows first.
inline constexpr std::array<FewShape, 3> kFewShapesFp8 = {{{4, 1}, {2, 1}, {1, 1}}};
inline constexpr std::array<FewShape, 4> kFewShapesBf16 = {{{2, 1}, {1, 1}, {2, 2}, {1, 2}}};
[[nodiscard]] constexpr std::uint32_t max_few_tokens(std::uint32_t weight_bytes) { return weight_bytes == 1 ? 8 : 16; }

// Many tokens: the warps of a block share a tile of rows and tokens; a stage takes kManyStepK numbers of K.
inline constexpr std::uint32_t kManyStepK = kTileStepK;
struct ManyShape {
  std::uint32_t rows, tokens, warps, stages;
  std::uint32_t registers;  // of a thread, about
  StepTimes bf16, fp8;      // as measured

  [[nodiscard]] constexpr std::uint32_t threads() const { return 32 * warps; }
  // FP8: no weight is decoded by two warps. BF16: squares, which read the least.
  [[nodiscard]] constexpr std::uint32_t row_warps(std::uint32_t weight_bytes) const {
    return weight_bytes == 1 ? warps : warps / 2;
  }
  [[nodiscard]] constexpr std::uint32_t token_warps(std::uint32_t weight_bytes) const {
    return warps / row_warps(weight_bytes);
  }
  [[nodiscard]] constexpr std::uint32_t stage_bytes(std::uint32_t weight_bytes) const {
    return kManyStepK * (rows * weight_bytes + tokens * 2);
  }
  [[nodiscard]] constexpr std::uint32_t shared_bytes(std::uint32_t weight_bytes) const {
    return kept_at(weight_bytes) + 32;
  }
  // Behind the stages: what the block does, and a word for SplitSums.
  [[nodiscard]] constexpr std::uint32_t kept_at(std::uint32_t weight_bytes) const {
    return stages * stage_bytes(weight_bytes);
  }
};
inline constexpr std::array<ManyShape, 5> kManyShapes = {{{64, 32, 4, 6, 80, {248, 160}, {267, 199}},
                                                          {64, 64, 4, 5, 128, {301, 249}, {366, 275}},
                                                          {128, 64, 4, 4, 168, {464, 376}, {583, 471}},
                                                          {128, 128, 4, 3, 255, {762, 763}, {891, 892}},
                                                          {256, 128, 8, 3, 255, {1310, 1310}, {}}}};

// The first ones; the decoding of FP8 leaves nothing for the largest to gain.
[[nodiscard]] constexpr std::size_t num_many_shapes(std::uint32_t weight_bytes) {
  return weight_bytes == 1 ? kManyShapes.size() - 1 : kManyShapes.size();
}

}  // namespace nvfp4::kernels::cuda_sm80
