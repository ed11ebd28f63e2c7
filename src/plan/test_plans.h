// Plans for tests: of a few lines, by a machine's name.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "plan/inventory.h"
#include "plan/plan_text.h"
#include "plan/planner.h"

namespace nvfp4::plan {

inline constexpr std::string_view kExpertsW4A4 = "48 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8";
inline constexpr std::string_view kExpertsW4A16 = "48 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8";
inline constexpr std::string_view kDenseW4A4 = "48 self_attn.q_proj linear/w4a4/n4096/k2048";
inline constexpr std::string_view kDenseW4A16 = "48 self_attn.q_proj linear/w4a16/n4096/k2048";

inline Result<Plan> planned(std::initializer_list<std::string_view> lines, std::string_view machine,
                            const Deployment& deployment = {}) {
  std::vector<Layer> layers;
  for (const std::string_view line : lines) layers.push_back(*parse_layer(line, "test"));
  return make_plan(layers, *find_machine(machine), deployment);
}
// "1-64 moe_x, 65-8192 moe_y".
inline std::string kernels_of(const PlannedLayer& planned) {
  const std::string line = layer_line(planned);
  const std::size_t begin = line.find(' ', line.find(' ') + 1) + 1;
  return line.substr(begin, line.rfind(" [") - begin);
}
// The same of the first layer; an Error's words.
inline std::string kernels(std::initializer_list<std::string_view> lines, std::string_view machine,
                           const Deployment& deployment = {}) {
  const auto plan = planned(lines, machine, deployment);
  if (!plan) return plan.error().to_string();
  return kernels_of(plan->layers.at(0));
}
inline std::string layout(std::string_view line, std::string_view machine) {
  return planned({line}, machine)->layers[0].layout;
}
// Why a kernel does not serve the first layer; all reasons.
inline std::string why_not(std::string_view kernel, std::string_view line, std::string_view machine,
                           const Deployment& deployment = {}) {
  std::string text;
  const auto plan = planned({line}, machine, deployment);
  if (!plan) return plan.error().to_string();
  for (const Rejection& rejection : plan->layers[0].rejections) {
    if (rejection.kernel != kernel) continue;
    text += fmt::format("[{}-{}: {}]", rejection.first_tokens, rejection.last_tokens, rejection.reason);
  }
  return text;
}
inline Deployment forced(std::initializer_list<std::string_view> texts) {
  Deployment deployment;
  for (const std::string_view text : texts) deployment.forced.push_back(*parse_forced_kernel(text));
  return deployment;
}
inline Deployment requested(ActivationRequest request) {
  Deployment deployment;
  deployment.activations = request;
  return deployment;
}
inline Deployment ranks(std::uint32_t tp, std::uint32_t ep = 1) {
  Deployment deployment;
  deployment.ranks = {tp, ep};
  return deployment;
}

}  // namespace nvfp4::plan
