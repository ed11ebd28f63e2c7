#include "apps/tune_problem.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nvfp4::apps {

plan::MeasuredProblem measure_problem(const std::string& name, std::span<const plan::Candidate> candidates,
                                      std::uint32_t max_tokens, const MeasureKernel& measure) {
  constexpr double kHopeless = 30;
  plan::MeasuredProblem out{name, {}};
  std::vector<bool> is_left_out(candidates.size());
  for (std::uint64_t power = 1;; power *= 2) {
    const auto num_tokens = static_cast<std::uint32_t>(std::min<std::uint64_t>(power, max_tokens));
    plan::MeasuredTokens tokens{num_tokens, {}};
    double fastest = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (is_left_out[i] || !candidates[i].accepts(num_tokens)) continue;
      const double us = measure(candidates[i].kernel, num_tokens);
      is_left_out[i] = us <= 0;
      if (is_left_out[i]) continue;
      tokens.kernels.push_back({std::string(candidates[i].kernel), us});
      fastest = fastest == 0 ? us : std::min(fastest, us);
    }
    for (const plan::Measurement& measured : tokens.kernels) {
      const auto is_it = [&](const plan::Candidate& candidate) { return candidate.kernel == measured.kernel; };
      const auto place = std::find_if(candidates.begin(), candidates.end(), is_it) - candidates.begin();
      is_left_out[static_cast<std::size_t>(place)] = measured.us > kHopeless * fastest;
    }
    if (!tokens.kernels.empty()) out.tokens.push_back(std::move(tokens));
    if (num_tokens == max_tokens) return out;
  }
}

}  // namespace nvfp4::apps
