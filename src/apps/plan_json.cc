#include "apps/plan_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "plan/machine_file.h"

namespace nvfp4::apps {
namespace {

using Json = nlohmann::ordered_json;

Json range_json(const plan::KernelRange& range) {
  Json out = {{"first_tokens", range.first_tokens},
              {"last_tokens", range.last_tokens},
              {"kernel", range.kernel},
              {"reason", range.reason},
              {"workspace_bytes", range.workspace_bytes}};
  out["times"] = Json::array();
  for (const plan::ExpectedTime& time : range.times) {
    out["times"].push_back({{"num_tokens", time.num_tokens}, {"us", std::round(time.us * 100) / 100}});
    if (!time.tiling.empty()) out["times"].back()["tiling"] = time.tiling;
  }
  return out;
}

Json layer_json(const plan::PlannedLayer& line) {
  Json out = {{"layer_kind", line.kind()},
              {"scheme", plan::layer_scheme(line.layer)},
              {"num_layers", line.layer.num_layers},
              {"layer", plan::layer_text(line.layer)},
              {"problem", line.problem},
              {"activation", activation_name(line.activation)},
              {"layout", line.layout},
              {"weight_bytes", line.weight_bytes}};
  if (!line.activation_reason.empty()) out["activation_reason"] = line.activation_reason;
  out["kernels"] = Json::array();
  for (const plan::KernelRange& range : line.ranges) out["kernels"].push_back(range_json(range));
  out["not_taken"] = Json::array();
  for (const plan::Rejection& rejection : line.rejections) {
    out["not_taken"].push_back({{"kernel", rejection.kernel},
                                {"first_tokens", rejection.first_tokens},
                                {"last_tokens", rejection.last_tokens},
                                {"reason", rejection.reason}});
  }
  return out;
}

}  // namespace

nlohmann::ordered_json plan_json(const plan::Plan& plan) {
  const plan::Deployment& deployment = plan.deployment;
  constexpr const char* kRequests[] = {"checkpoint", "w4a16", "w4a4"};
  Json out = {{"machine", Json::parse(plan::machine_json(plan.machine))},
              {"activations", kRequests[static_cast<std::size_t>(deployment.activations)]},
              {"tensor_parallel", deployment.ranks.tensor_parallel},
              {"expert_parallel", deployment.ranks.expert_parallel},
              {"batch_invariant", deployment.batch_invariant},
              {"max_tokens", deployment.max_tokens},
              {"weight_bytes", plan.weight_bytes},
              {"workspace_bytes", plan.workspace_bytes}};
  if (deployment.table != nullptr) out["table"] = deployment.table->label;
  out["layers"] = Json::array();
  for (const plan::PlannedLayer& line : plan.layers) out["layers"].push_back(layer_json(line));
  return out;
}

}  // namespace nvfp4::apps
