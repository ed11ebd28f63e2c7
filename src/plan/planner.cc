#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/nearest_name.h"
#include "plan/layer_planner.h"

namespace nvfp4::plan {
namespace {

constexpr std::uint32_t kMaxRanks = 1024;
constexpr std::uint32_t kMaxTokens = 1U << 20U;

Status check(const Deployment& deployment) {
  const auto bad = [](std::string_view where, std::uint64_t value, std::uint64_t most) {
    return Error{ErrorCode::kInvalidArgument, std::string(where),
                 fmt::format("is {}; 1 to {} are possible", value, most)};
  };
  const Ranks& ranks = deployment.ranks;
  if (ranks.tensor_parallel == 0 || ranks.tensor_parallel > kMaxRanks) {
    return bad("--tp", ranks.tensor_parallel, kMaxRanks);
  }
  if (ranks.expert_parallel == 0 || ranks.expert_parallel > kMaxRanks) {
    return bad("--ep", ranks.expert_parallel, kMaxRanks);
  }
  if (deployment.max_tokens == 0 || deployment.max_tokens > kMaxTokens) {
    return bad("--max-tokens", deployment.max_tokens, kMaxTokens);
  }
  return {};
}

bool is_meant(const ForcedKernel& forced, const PlannedLayer& line) {
  return (forced.kind == line.kind() || forced.kind == line.layer.kind) &&
         (forced.scheme.empty() || forced.scheme == layer_scheme(line.layer));
}

std::string force_name(const ForcedKernel& forced) {
  return fmt::format("--kernel {}{}{}={}", forced.kind, forced.scheme.empty() ? "" : ":", forced.scheme, forced.kernel);
}

// A force that no line of the plan is meant by.
Error nothing_is_meant(const ForcedKernel& forced, std::span<const PlannedLayer> lines) {
  std::vector<std::string> names;
  for (const PlannedLayer& line : lines) {
    for (const std::string& name : {line.kind(), line.layer.kind}) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  const bool has_kind = std::find(names.begin(), names.end(), forced.kind) != names.end();
  if (!has_kind) {
    const std::vector<std::string_view> views(names.begin(), names.end());
    return Error{ErrorCode::kInvalidArgument, force_name(forced),
                 fmt::format("no layer is called \"{}\"; {}", forced.kind, suggestion(forced.kind, views))};
  }
  std::vector<std::string_view> schemes;
  for (const PlannedLayer& line : lines) {
    const std::string_view scheme = layer_scheme(line.layer);
    const bool is_of_kind = line.kind() == forced.kind || line.layer.kind == forced.kind;
    if (is_of_kind && std::find(schemes.begin(), schemes.end(), scheme) == schemes.end()) schemes.push_back(scheme);
  }
  return Error{ErrorCode::kInvalidArgument, force_name(forced),
               fmt::format("no layer of that kind has the scheme \"{}\"; {}", forced.scheme,
                           suggestion(forced.scheme, schemes))};
}

// The lines of one layer, before kernels are chosen: one, or on a CPU one for each projection of experts.
std::vector<PlannedLayer> lines_of(const Layer& layer, const Machine& machine) {
  std::vector<PlannedLayer> lines;
  const bool is_split = layer.operation == Operation::kExperts && std::holds_alternative<Cpu>(machine);
  for (const std::string_view projection : {"gate_proj", "up_proj", "down_proj"}) {
    if (is_split && projection == "gate_proj" && !layer.gated()) continue;
    if (!is_split && projection != "gate_proj") break;
    PlannedLayer line;
    line.layer = layer;
    if (is_split) line.projection = projection;
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace

std::size_t Plan::num_unserved() const {
  return static_cast<std::size_t>(
      std::count_if(layers.begin(), layers.end(), [](const PlannedLayer& line) { return line.ranges.empty(); }));
}

void Plan::add_up() {
  weight_bytes = 0;
  workspace_bytes = 0;
  for (const PlannedLayer& line : layers) {
    if (!line.layer.is_tied) weight_bytes += line.weight_bytes * line.layer.num_layers;
    for (const KernelRange& range : line.ranges) workspace_bytes = std::max(workspace_bytes, range.workspace_bytes);
  }
}

Result<ForcedKernel> parse_forced_kernel(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::size_t colon = text.substr(0, equals).find(':');
  ForcedKernel forced;
  if (equals != std::string_view::npos) {
    forced.kernel = text.substr(equals + 1);
    forced.kind = text.substr(0, std::min(colon, equals));
    if (colon != std::string_view::npos) forced.scheme = text.substr(colon + 1, equals - colon - 1);
  }
  if (!forced.kind.empty() && !forced.kernel.empty() && (colon == std::string_view::npos || !forced.scheme.empty())) {
    return forced;
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("--kernel {}", text),
               "must be LAYERKIND=NAME or LAYERKIND:SCHEME=NAME, as mlp.experts:nvfp4_w4a4=moe_nvfp4_bf16_wgmma"};
}

Status plan_line(const Machine& machine, const Deployment& deployment, PlannedLayer& line) {
  std::string_view kernel;
  std::string where = line.kind();
  for (const ForcedKernel& forced : deployment.forced) {
    if (!is_meant(forced, line)) continue;
    kernel = forced.kernel;
    where = force_name(forced);
    line.is_forced = true;
  }
  return plan_layer(machine, deployment, kernel, where, line);
}

Result<Plan> make_plan(std::span<const Layer> layers, const Machine& machine, const Deployment& deployment) {
  NVFP4_RETURN_IF_ERROR(check(deployment));
  Plan plan{machine, deployment, {}, 0, 0};
  for (const Layer& layer : layers) {
    for (PlannedLayer& line : lines_of(layer, machine)) plan.layers.push_back(std::move(line));
  }
  for (const ForcedKernel& forced : deployment.forced) {
    const bool found = std::any_of(plan.layers.begin(), plan.layers.end(),
                                   [&](const PlannedLayer& line) { return is_meant(forced, line); });
    if (!found) return nothing_is_meant(forced, plan.layers);
  }
  for (PlannedLayer& line : plan.layers) NVFP4_RETURN_IF_ERROR(plan_line(machine, deployment, line));
  plan.add_up();
  return plan;
}

}  // namespace nvfp4::plan
