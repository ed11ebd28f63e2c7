#include "checkpoint/weight_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "checkpoint/stored_weight.h"

namespace nvfp4::checkpoint {

Status set_weight_scale(const TensorFiles& files, const ModelConfig& model, const ScaleValues& values,
                        DescribedTensor& weight, DescriptionPart& out) {
  const std::uint64_t experts = weight.num_experts();
  std::span<const float> stored;
  if (weight.scale2_tensor != nullptr) {
    stored = values.of(*weight.scale2_tensor);
    if (stored.empty() || (stored.size() != 1 && stored.size() % experts != 0)) {
      return Error{ErrorCode::kMalformed, where(files, *weight.scale2_tensor),
                   fmt::format("{} values for {} experts", stored.size(), experts)};
    }
  }
  auto rows = shard_rows(files, weight, stored.size() > 1 ? stored.size() / experts : 1, model, out.arena);
  if (!rows) return std::move(rows).error();
  weight.shard_rows = *rows;
  if (weight.scale2_tensor == nullptr) return {};
  if (stored.size() == 1 && experts > 1) {  // one for all experts is handed out once per expert
    const std::span<float> repeated = out.arena.allocate<float>(experts);
    std::fill(repeated.begin(), repeated.end(), stored[0]);
    stored = repeated;
  }
  const std::span<float> multipliers = out.arena.allocate<float>(stored.size());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const Scale2Verdict verdict = judge_scale2(stored[i], weight.convention);
    if (!verdict.problem.empty()) {
      return Error{ErrorCode::kMalformed, where(files, *weight.scale2_tensor),
                   fmt::format("value {} {}; the weight cannot be reconstructed, export it again", i, verdict.problem)};
    }
    if (verdict.repaired) {
      out.repairs.push_back({std::string(weight.scale2_tensor->name),
                             fmt::format("{} stands for an all-zero weight: it reads as zeros", stored[i])});
    }
    multipliers[i] = verdict.multiplier;
  }
  weight.stored_scale2 = stored;
  weight.scale2 = multipliers;
  return {};
}

}  // namespace nvfp4::checkpoint
