#include "apps/profile_report.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace nvfp4::apps {
namespace {

using layers::Profile;
using layers::Stage;
using Duration = Profile::Clock::duration;

constexpr std::pair<Profile::StepKind, const char*> kKinds[] = {{Profile::StepKind::kPrefill, "prefill"},
                                                                {Profile::StepKind::kDecode, "decode"}};

double ms_per_step(const Profile::Steps& steps, Duration time) {
  return std::chrono::duration<double, std::milli>(time).count() / static_cast<double>(steps.num_steps);
}

}  // namespace

void print_profile(const Profile& profile, std::FILE* out) {
  for (const auto& [kind, name] : kKinds) {
    const Profile::Steps& steps = profile.steps(kind);
    if (steps.num_steps == 0) continue;
    fmt::print(out, "{}: {} steps, {:.1f} tokens and {:.3f} ms each\n", name, steps.num_steps,
               static_cast<double>(steps.num_tokens) / static_cast<double>(steps.num_steps),
               ms_per_step(steps, steps.total()));
    for (std::size_t i = 0; i < layers::kNumStages; ++i) {
      if (steps.times[i] == Duration::zero()) continue;
      const double share = static_cast<double>(steps.times[i].count()) / static_cast<double>(steps.total().count());
      fmt::print(out, "  {:<18} {:>10.3f} ms {:>6.1f} %\n", layers::stage_name(static_cast<Stage>(i)),
                 ms_per_step(steps, steps.times[i]), 100 * share);
    }
    fmt::print(out, "  outside linear layers: {:.1f} %\n", 100 * steps.share_outside_linear());
  }
}

nlohmann::json profile_json(const Profile& profile) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [kind, name] : kKinds) {
    const Profile::Steps& steps = profile.steps(kind);
    if (steps.num_steps == 0) continue;
    nlohmann::json stages = nlohmann::json::object();
    for (std::size_t i = 0; i < layers::kNumStages; ++i) {
      if (steps.times[i] == Duration::zero()) continue;
      stages[std::string(layers::stage_name(static_cast<Stage>(i)))] = ms_per_step(steps, steps.times[i]);
    }
    out[name] = {{"steps", steps.num_steps},
                 {"tokens", steps.num_tokens},
                 {"ms_per_step", ms_per_step(steps, steps.total())},
                 {"share_outside_linear", steps.share_outside_linear()},
                 {"stages", std::move(stages)}};
  }
  return out;
}

}  // namespace nvfp4::apps
