#include "kernels/cuda_sm80/fragment_choice.h"

#include <algorithm>
#include <array>
#include <string>

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr std::uint32_t kFewTokens = 16;
constexpr std::uint32_t kMaxFragmentFeatures = 1U << 24U;  // places of a block's weights have 32 bits
constexpr std::size_t kManyShapes = kFragmentShapes.size() - kFirstManyShape;
// Of a full multiprocessor of an H200, as TileKind has it: decoding costs what it costs for FP8 and a little more.
constexpr std::array<double, kManyShapes> kRates = {640, 950, 1110};
constexpr std::array<std::uint32_t, kManyShapes> kRegisters = {96, 168, 128};

constexpr std::array<TileKind, kManyShapes> many_kinds() {
  std::array<TileKind, kManyShapes> kinds{};
  for (std::size_t i = 0; i < kManyShapes; ++i) {
    const FragmentShape& shape = kFragmentShapes[kFirstManyShape + i];
    kinds[i] = {shape.rows(),        shape.tokens(),       shape.threads(), kRegisters[i],
                shape.stage_bytes(), shape.shared_bytes(), kRates[i]};
  }
  return kinds;
}
constexpr std::array<TileKind, kManyShapes> kManyKinds = many_kinds();

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// The largest rows that leave work for most multiprocessors.
TileChoice choose_few(const TileLayer& layer, std::uint32_t num_tokens) {
  constexpr double kLeastShare = 0.8;
  TileChoice choice;
  choice.kind_idx = 0;
  if (num_tokens <= 8) choice.kind_idx = divided_up(layer.out_features, 64) >= kLeastShare * layer.num_sms ? 2 : 1;
  choice.row_tiles = divided_up(layer.out_features, kFragmentShapes[choice.kind_idx].rows());
  choice.token_tiles = 1;
  choice.steps_per_split = divided_up(layer.in_features, kTileStepK);
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

std::uint32_t choose_expert_shape(const ExpertSizes& sizes) {
  const std::uint32_t average = divided_up(sizes.num_rows, sizes.num_experts);
  if (!sizes.batch_invariant && average <= 7) {
    // The larger of the two where every multiprocessor has one of its blocks.
    const std::uint64_t row_tiles = divided_up(sizes.row_groups, kFragmentShapes[2].tile_groups());
    const std::uint32_t num_used = std::min(sizes.num_experts, sizes.num_rows);
    return row_tiles * num_used >= sizes.num_sms ? 2 : 1;
  }
  return average <= 24 ? 3 : average <= 160 ? 4 : 5;
}

}  // namespace nvfp4::kernels::cuda_sm80
