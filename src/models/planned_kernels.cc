#include "models/planned_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::models {
namespace {

using plan::Operation;
using plan::PlannedLayer;

bool is_same(const kernels::LinearProblem& a, const kernels::LinearProblem& b) {
  return a.weight == b.weight && a.activation == b.activation && a.out_features == b.out_features &&
         a.in_features == b.in_features && a.num_experts == b.num_experts &&
         (a.weight != kernels::WeightFormat::kNvfp4 || a.block_size == b.block_size);
}

// Tokens of a step are rows of a layer; of experts, each token is as many rows as it has experts.
std::vector<layers::ServingKernel> serving_kernels(const PlannedLayer& line) {
  const std::uint64_t rows_of_token = line.layer.operation == Operation::kExperts ? line.layer.top_k : 1;
  std::vector<layers::ServingKernel> kernels;
  for (const plan::KernelRange& range : line.ranges) {
    const bool is_last = &range == &line.ranges.back();
    const std::uint64_t rows =
        std::min<std::uint64_t>(range.last_tokens * rows_of_token, layers::ServingKernel::kAllRows);
    kernels.push_back({is_last ? layers::ServingKernel::kAllRows : static_cast<std::uint32_t>(rows),
                       kernels::find_linear_kernel(range.kernel)});
  }
  return kernels;
}

Error nothing_serves(const prepare::PreparedWeight& weight, const PlannedLayer& line) {
  std::string refusals;
  for (const plan::Rejection& rejection : line.rejections) {
    refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : "; ", rejection.kernel, rejection.reason);
  }
  return Error{
      ErrorCode::kUnsupported, weight.name,
      fmt::format("no kernel serves {} weights [{}, {}] with {} activations ({})", weight_format_name(weight.format),
                  weight.out_features, weight.in_features, activation_name(weight.activation), refusals)};
}

}  // namespace

PlannedLayer* PlannedKernels::find(const prepare::PreparedWeight& weight, bool odd_scales) {
  const std::string kind = plan::layer_kind(weight.name);
  for (PlannedLayer& line : plan_.layers) {
    const bool is_tied_head = line.layer.is_tied && kind == "embed_tokens";
    if (line.layer.operation == Operation::kEmbedding || (line.kind() != kind && !is_tied_head)) continue;
    plan::Layer layer = line.layer;
    layer.activation = line.activation;
    if (layer.odd_scales == odd_scales && is_same(plan::linear_problem(layer, line.projection), weight.problem())) {
      return &line;
    }
  }
  return nullptr;
}

// A line for weights whose scales are odd, which counts one more of them.
Result<PlannedLayer*> PlannedKernels::odd_line(const prepare::PreparedWeight& weight) {
  PlannedLayer* const regular = find(weight, false);
  if (regular == nullptr) return nullptr;
  --regular->layer.num_layers;
  PlannedLayer* line = find(weight, true);
  if (line == nullptr) {
    PlannedLayer added;
    added.layer = regular->layer;
    added.layer.odd_scales = true;
    added.layer.num_layers = 0;
    added.projection = regular->projection;
    NVFP4_RETURN_IF_ERROR(plan::plan_line(plan_.machine, plan_.deployment, added));
    line = &*plan_.layers.insert(plan_.layers.begin() + (regular - plan_.layers.data()) + 1, std::move(added));
  }
  ++line->layer.num_layers;
  return line;
}

Result<std::vector<layers::ServingKernel>> PlannedKernels::kernels_of(const prepare::PreparedWeight& weight) {
  const PlannedLayer* line = nullptr;
  if (weight.odd_scales) {
    const auto odd = odd_line(weight);
    NVFP4_RETURN_IF_ERROR(odd);
    line = *odd;
  } else {
    line = find(weight, false);
  }
  if (line == nullptr) {
    if (plan::layer_kind(weight.name) == "embed_tokens") return std::vector<layers::ServingKernel>();  // looked up
    return Error{ErrorCode::kContradiction, weight.name,
                 fmt::format("{} weights [{}, {}] are not in the model's plan; please report it",
                             weight_format_name(weight.format), weight.out_features, weight.in_features)};
  }
  if (line->ranges.empty()) return nothing_serves(weight, *line);
  return serving_kernels(*line);
}

plan::Plan PlannedKernels::take() {
  std::erase_if(plan_.layers, [](const PlannedLayer& line) { return line.layer.num_layers == 0; });
  plan_.add_up();
  return std::move(plan_);
}

}  // namespace nvfp4::models
