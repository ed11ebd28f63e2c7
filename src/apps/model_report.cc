#include "apps/model_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "apps/command.h"
#include "apps/plan_json.h"
#include "base/cpu_features.h"
#include "base/large_pages.h"
#include "plan/plan_text.h"

namespace nvfp4::apps {
namespace {

std::string_view about_large_pages() {
  switch (large_page_mode()) {
    case LargePageMode::kAlways:
    case LargePageMode::kMadvise:
      return "yes";
    case LargePageMode::kNever:
      return "no (transparent_hugepage is never): decoding will be slower";
    case LargePageMode::kUnknown:
      break;
  }
  return "unknown";
}

// A line for each kind of layer; "plan" has the ranges of tokens.
nlohmann::json kernels_json(const plan::Plan& plan) {
  nlohmann::json lines = nlohmann::json::array();
  for (const plan::PlannedLayer& line : plan.layers) {
    if (line.ranges.empty()) continue;
    std::string reason = line.ranges.front().reason;
    if (!line.activation_reason.empty()) reason += "; " + line.activation_reason;
    const std::uint64_t num_layers = line.layer.is_tied ? 0 : line.layer.num_layers;
    lines.push_back({{"layer_kind", line.kind()},
                     {"scheme", plan::layer_scheme(line.layer)},
                     {"kernel", line.ranges.front().kernel},
                     {"reason", reason},
                     {"num_weights", num_layers * line.layer.num_experts},
                     {"num_bytes", num_layers * line.weight_bytes}});
  }
  return lines;
}

nlohmann::json selftest_json(const RunnableModel& model) {
  if (!model.num_selftests) return nullptr;
  nlohmann::json out = {{"num_tests", *model.num_selftests}, {"ms", model.selftest_ms}};
  out["refused"] = nlohmann::json::array();
  for (const plan::RefusedKernel& refused : model.model->plan().deployment.refused) {
    out["refused"].push_back({{"kernel", refused.kernel}, {"reason", refused.reason}});
  }
  return out;
}

nlohmann::json cpu_json(const RunnableModel& model) {
  const LargePageMode pages = large_page_mode();
  return {{"instruction_set", instruction_set_name(model.instruction_set)},
          {"instruction_sets_here", sets_that_run_here()},
          {"threads", model.pool->num_workers()},
          {"large_pages", pages == LargePageMode::kAlways || pages == LargePageMode::kMadvise}};
}

}  // namespace

void print_kernels(const RunnableModel& model, std::FILE* out) {
  const bool is_best = model.instruction_set == best_instruction_set();
  fmt::print(out, "CPU: {} ({} {} here), {} thread{}, 2 MB pages: {}\n", instruction_set_name(model.instruction_set),
             is_best ? "best of" : "chosen of", fmt::join(sets_that_run_here(), ", "), model.pool->num_workers(),
             model.pool->num_workers() == 1 ? "" : "s", about_large_pages());
  fmt::print(out, "{}", plan::plan_table(model.model->plan(), printable(model.model->shape().architecture)));
}

void add_kernels(const RunnableModel& model, nlohmann::json& out) {
  out["plan"] = plan_json(model.model->plan());
  out["kernels"] = kernels_json(model.model->plan());
  out["selftest"] = selftest_json(model);
  out["cpu"] = cpu_json(model);
}

}  // namespace nvfp4::apps
