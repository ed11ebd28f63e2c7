#include "kernels/cuda_sm80/fragment_choice.h"

#include <algorithm>
#include <array>
#include <string>

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr std::uint32_t kFewTokens = 16;
constexpr std::uint32_t kMaxFragmentFeatures = 1U << 24U;  // places of a block's weights have 32 bits
// Of kFragmentShapes, by rows and tokens.
constexpr std::uint32_t k32x16 = 0, k128x32 = 2, k128x64 = 3, k32x8 = 4, k64x8 = 5, k64x8Lean = 6, k64x16 = 7,
                        k256x64 = 8;
constexpr bool has_size(std::uint32_t shape_idx, std::uint32_t rows, std::uint32_t tokens) {
  return kFragmentShapes[shape_idx].rows() == rows && kFragmentShapes[shape_idx].tokens() == tokens;
}
static_assert(has_size(k32x16, 32, 16) && has_size(k128x32, 128, 32) && has_size(k128x64, 128, 64) &&
              has_size(k32x8, 32, 8) && has_size(k64x8, 64, 8) && has_size(k64x8Lean, 64, 8) &&
              has_size(k64x16, 64, 16) && has_size(k256x64, 256, 64));
constexpr std::array<StepTimes, kNumManyShapes> kTimes = {{{256, 155}, {376, 246}, {492, 380}}};
constexpr std::array<std::uint32_t, kNumManyShapes> kRegisters = {96, 128, 168};

constexpr std::array<TileKind, kNumManyShapes> many_kinds() {
  std::array<TileKind, kNumManyShapes> kinds{};
  for (std::size_t i = 0; i < kNumManyShapes; ++i) {
    const FragmentShape& shape = kFragmentShapes[kFirstManyShape + i];
    kinds[i] = {shape.rows(),        shape.tokens(),       shape.threads(), kRegisters[i],
                shape.stage_bytes(), shape.shared_bytes(), kTimes[i]};
  }
  return kinds;
}
constexpr std::array<TileKind, kNumManyShapes> kManyKinds = many_kinds();

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// The largest rows that leave work for most multiprocessors.
TileChoice choose_few(const TileLayer& layer, std::uint32_t num_tokens) {
  constexpr double kLeastShare = 0.8;
  TileChoice choice;
  choice.kind_idx = k32x16;
  if (num_tokens <= 8)
    choice.kind_idx = divided_up(layer.out_features, 64) >= kLeastShare * layer.num_sms ? k64x8 : k32x8;
  choice.row_tiles = divided_up(layer.out_features, kFragmentShapes[choice.kind_idx].rows());
  choice.token_tiles = 1;
  choice.steps = divided_up(layer.in_features, kTileStepK);
  return choice;
}

}  // namespace

std::string fragment_refusal(const DeviceCaps& caps, std::uint32_t in_features) {
  if (in_features > kMaxFragmentFeatures) {
    return std::to_string(in_features) + " input features; at most " + std::to_string(kMaxFragmentFeatures) +
           " are possible";
  }
  constexpr std::uint32_t kNeeded = most_fragment_shared_bytes();
  if (caps.shared_bytes_per_block >= kNeeded) return {};
  return "a block needs " + std::to_string(kNeeded) + " bytes of shared memory, the device has " +
         std::to_string(caps.shared_bytes_per_block);
}

TileChoice choose_fragments(const TileLayer& layer, std::uint32_t num_tokens) {
  if (num_tokens <= kFewTokens && !layer.batch_invariant) return choose_few(layer, num_tokens);
  TileChoice choice = choose_tiles(layer, kManyKinds, num_tokens);
  choice.kind_idx += kFirstManyShape;
  return choice;
}

TileNeeds fragment_needs(const TileLayer& layer, std::uint32_t max_tokens) {
  if (max_tokens <= kFewTokens) return {};
  return tile_needs(layer, kManyKinds, max_tokens);
}

std::uint32_t fragment_shared_bytes(const TileLayer& layer, const TileChoice& choice) {
  if (kFragmentShapes[choice.kind_idx].shares_k()) return kFragmentShapes[choice.kind_idx].shared_bytes();
  return even_shared_bytes(layer, kManyKinds[choice.kind_idx - kFirstManyShape], choice);
}

std::uint32_t choose_expert_shape(const ExpertSizes& sizes) {
  const std::uint32_t average = divided_up(sizes.num_rows, sizes.num_experts);
  if (!sizes.batch_invariant && average <= 8) {
    // The larger of the two where every multiprocessor has one of its blocks, the lean one where it has several.
    const std::uint64_t row_tiles = divided_up(sizes.row_groups, kFragmentShapes[k64x8].tile_groups());
    const std::uint64_t num_blocks = row_tiles * std::min(sizes.num_experts, sizes.num_rows);
    return num_blocks >= std::uint64_t{3} * sizes.num_sms ? k64x8Lean : num_blocks >= sizes.num_sms ? k64x8 : k32x8;
  }
  if (!sizes.batch_invariant && average <= 12) return k64x16;
  return average <= 48 ? k128x32 : average <= 160 ? k128x64 : k256x64;
}

}  // namespace nvfp4::kernels::cuda_sm80
