#include "plan/shard.h"

#include <fmt/format.h>

#include <algorithm>

namespace nvfp4::plan {
namespace {

constexpr std::uint64_t kGroup = 16;

constexpr std::uint64_t divided_up(std::uint64_t value, std::uint64_t by) { return (value + by - 1) / by; }

Error cannot_cut(const Layer& layer, std::uint64_t size, std::string_view what, std::uint64_t unit,
                 std::uint32_t ranks) {
  return Error{ErrorCode::kUnsupported, layer.kind,
               fmt::format("{} {} are {} group{} of {}; {} ranks would leave some without any", size, what,
                           divided_up(size, unit), divided_up(size, unit) == 1 ? "" : "s", unit, ranks)};
}

}  // namespace

Piece piece_of(std::uint64_t size, std::uint64_t unit, std::uint32_t num_ranks, std::uint32_t rank) {
  const std::uint64_t groups = divided_up(size, unit);
  Piece piece;
  piece.begin = std::min(size, groups * rank / num_ranks * unit);
  piece.end = std::min(size, groups * (rank + 1) / num_ranks * unit);
  piece.padded = divided_up(groups, num_ranks) * unit;
  return piece;
}

Result<Layer> shard_of(const Layer& layer, const Ranks& ranks) {
  Layer out = layer;
  if (layer.operation == Operation::kExperts && ranks.expert_parallel > 1) {
    if (layer.num_experts < ranks.expert_parallel) {
      return cannot_cut(layer, layer.num_experts, "experts", 1, ranks.expert_parallel);
    }
    out.num_experts = static_cast<std::uint32_t>(piece_of(layer.num_experts, 1, ranks.expert_parallel, 0).padded);
  }
  const std::uint32_t num_ranks = ranks.tensor_parallel;
  if (num_ranks == 1 || layer.cut == Cut::kNone) return out;
  if (layer.cut == Cut::kColumns) {
    const std::uint64_t unit = std::max<std::uint64_t>(kGroup, layer.block_size);
    if (divided_up(layer.in_features, unit) < num_ranks) {
      return cannot_cut(layer, layer.in_features, "input features", unit, num_ranks);
    }
    out.in_features = piece_of(layer.in_features, unit, num_ranks, 0).padded;
    return out;
  }
  // Heads that are fewer than ranks stay whole, on several ranks.
  const bool has_heads = layer.row_unit > 1;
  const std::uint64_t unit = has_heads ? layer.row_unit : std::max<std::uint64_t>(kGroup, layer.block_size);
  if (divided_up(layer.out_features, unit) < num_ranks && !has_heads) {
    return cannot_cut(layer, layer.out_features, "output features", unit, num_ranks);
  }
  out.out_features = piece_of(layer.out_features, unit, num_ranks, 0).padded;
  return out;
}

}  // namespace nvfp4::plan
