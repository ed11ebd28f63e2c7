#include "apps/bench_measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "apps/bench_layer.h"
#include "apps/command.h"
#include "apps/machine.h"
#include "apps/samples.h"
#include "kernels/catalogue/row_catalogue.h"

namespace nvfp4::apps {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxCopies = 2048;  // of tiny layers
constexpr std::size_t kMinRepetitions = 11;
constexpr double kRoundSeconds = 0.04;  // of repetitions between two samples of the ceilings
constexpr double kWarmUpSeconds = 0.1;
constexpr std::size_t kWarmUpRepetitions = 3;
constexpr std::size_t kInputValues = 1 << 22;  // of all inputs together

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

std::size_t num_copies_for(const BenchProblem& problem, bool hot) {
  if (hot) return 1;
  const double wanted = std::ceil(static_cast<double>(cold_bytes()) / problem.weight_bytes()) + 1;
  const double affordable = static_cast<double>(available_memory_bytes()) / 2 / problem.weight_bytes();
  return static_cast<std::size_t>(std::clamp(std::min(wanted, affordable), 1.0, static_cast<double>(kMaxCopies)));
}

// Which input goes to which copy, so that a copy's experts were not used recently: the cache may still hold those.
class InputChooser {
 public:
  InputChooser(std::vector<std::vector<std::uint32_t>> experts, std::size_t num_copies, std::uint32_t num_experts,
               std::size_t num_recent)
      : experts_(std::move(experts)), num_experts_(num_experts), num_recent_(num_recent) {
    used_.assign(num_copies * num_experts, 0);
  }

  // The input that has the fewest recent experts, of the next few.
  std::size_t next(std::size_t copy_idx) {
    std::size_t best = 0;
    std::size_t fewest = std::numeric_limits<std::size_t>::max();
    for (std::size_t i = 0; i < experts_.size() && fewest > 0; ++i) {
      const std::size_t input_idx = (first_ + i) % experts_.size();
      const std::size_t num_recent = count_recent(copy_idx, input_idx);
      if (num_recent >= fewest) continue;
      fewest = num_recent;
      best = input_idx;
    }
    first_ = best + 1;
    for (const std::uint32_t expert : experts_[best]) {
      used_[copy_idx * num_experts_ + expert] = now_ += 1;  // counts experts read
    }
    return best;
  }
  [[nodiscard]] std::size_t num_chosen(std::size_t input_idx) const { return experts_[input_idx].size(); }

 private:
  [[nodiscard]] std::size_t count_recent(std::size_t copy_idx, std::size_t input_idx) const {
    return static_cast<std::size_t>(
        std::count_if(experts_[input_idx].begin(), experts_[input_idx].end(), [&](std::uint32_t expert) {
          const std::size_t used = used_[copy_idx * num_experts_ + expert];
          return used != 0 && now_ - used < num_recent_;
        }));
  }

  std::vector<std::vector<std::uint32_t>> experts_;  // of each input
  std::uint32_t num_experts_;
  std::size_t num_recent_;
  std::vector<std::size_t> used_;  // [copies, experts]: when; 0: never
  std::size_t now_ = 0;
  std::size_t first_ = 0;
};

class ProblemBench {
 public:
  ProblemBench(const BenchProblem& problem, const BenchSettings& settings, BenchLayers layers, Ceilings& ceilings,
               WorkerPool& pool)
      : problem_(problem),
        settings_(settings),
        layers_(std::move(layers)),
        ceilings_(ceilings),
        pool_(pool),
        inputs_(random_inputs(problem, num_inputs(problem), pool)),
        output_(problem.num_tokens * problem.output_size()) {
    workspace_.reserve(layers_.workspace_bytes(pool.num_workers()));
  }

  Result<BenchResult> run() {
    choose_inputs();
    const double chosen = static_cast<double>(chooser_->num_chosen(0));
    const double num_bytes = settings_.hot ? problem_.weight_bytes() : problem_.bytes_read(chosen);
    ceilings_.restart(problem_.scheme == BenchScheme::kW4A4, settings_.hot, static_cast<std::size_t>(num_bytes));
    std::fill(output_.begin(), output_.end(), std::numeric_limits<float>::quiet_NaN());
    (void)repeat();
    NVFP4_RETURN_IF_ERROR(check_output());
    const Clock::time_point began = Clock::now();
    for (std::size_t i = 0; i < kWarmUpRepetitions && seconds_since(began) < kWarmUpSeconds; ++i) (void)repeat();
    Samples times;
    double bytes_read = 0;
    double seconds = 0;
    double shortest = std::numeric_limits<double>::infinity();
    while (times.size() < kMinRepetitions || seconds < settings_.seconds) {
      ceilings_.sample();
      if (settings_.hot) (void)repeat();  // the samples may have taken its place in the caches
      for (double round = 0; round < kRoundSeconds;) {
        const auto [elapsed, read] = repeat();
        times.add(elapsed);
        bytes_read += read;
        seconds += elapsed;
        round += elapsed;
        shortest = std::min(shortest, elapsed);
        if (times.size() >= kMinRepetitions && seconds >= settings_.seconds) break;
      }
    }
    ceilings_.sample();
    NVFP4_RETURN_IF_ERROR(check_output());
    return BenchResult{problem_,
                       std::string(layers_.kernel()),
                       layers_.num_copies(),
                       times.size(),
                       times.median(),
                       shortest,
                       bytes_read / static_cast<double>(times.size()),
                       ceilings_.bytes_per_second(),
                       ceilings_.operations_per_second()};
  }

 private:
  struct Repetition {
    double seconds = 0;
    double bytes_read = 0;
  };

  static std::size_t num_inputs(const BenchProblem& problem) {
    const std::size_t num_values = problem.num_tokens * problem.input_size();
    return std::clamp<std::size_t>(kInputValues / num_values, 4, problem.is_moe() ? 256 : 16);
  }

  [[nodiscard]] layers::Context context() {
    return {workspace_, pool_, layers::Precision::kBF16, kernels::row_kernels(settings_.instruction_set)};
  }

  void choose_inputs() {
    std::vector<std::vector<std::uint32_t>> experts;
    for (const LargeVector<float>& input : inputs_) experts.push_back(layers_.chosen_experts(input, context()));
    const std::uint32_t num_experts = std::max(problem_.num_experts, 1U);
    const double expert_bytes = problem_.weight_bytes() / num_experts;
    const auto num_recent = static_cast<std::size_t>(2 * static_cast<double>(last_level_cache_bytes()) / expert_bytes);
    chooser_.emplace(std::move(experts), layers_.num_copies(), num_experts, settings_.hot ? 0 : num_recent);
  }

  Repetition repeat() {
    const std::size_t copy_idx = next_copy_;
    next_copy_ = (next_copy_ + 1) % layers_.num_copies();
    const std::size_t input_idx = chooser_->next(copy_idx);
    const Clock::time_point began = Clock::now();
    layers_.run(copy_idx, inputs_[input_idx], output_, context());
    const double seconds = seconds_since(began);
    return {seconds, problem_.bytes_read(static_cast<double>(chooser_->num_chosen(input_idx)))};
  }

  [[nodiscard]] Status check_output() const {
    bool has_value = false;
    for (const float value : output_) {
      if (!std::isfinite(value)) {
        return Error{ErrorCode::kMalformed, problem_.to_string(),
                     fmt::format("kernel {} gave {}, which is wrong; please report it", layers_.kernel(), value)};
      }
      has_value = has_value || value != 0;
    }
    if (has_value) return {};
    return Error{ErrorCode::kMalformed, problem_.to_string(),
                 fmt::format("kernel {} gave nothing but zeros, which is wrong; please report it", layers_.kernel())};
  }

  const BenchProblem& problem_;
  const BenchSettings& settings_;
  BenchLayers layers_;
  Ceilings& ceilings_;
  WorkerPool& pool_;
  std::vector<LargeVector<float>> inputs_;
  LargeVector<float> output_;
  Workspace workspace_;
  std::optional<InputChooser> chooser_;
  std::size_t next_copy_ = 0;
};

}  // namespace

double BenchResult::share_of_ceiling() const {
  return std::max(bytes_read / ceiling_bytes_per_s, problem.operations() / ceiling_operations_per_s) / median_s;
}

std::uint64_t cold_bytes() {
  constexpr std::uint64_t kAtLeast = std::uint64_t{1} << 30;
  const std::uint64_t wanted = std::max(kAtLeast, 4 * last_level_cache_bytes());
  const std::uint64_t available = available_memory_bytes();
  return available == 0 ? kAtLeast : std::min(wanted, available / 2);
}

Status check_memory(const BenchProblem& problem) {
  const double tokens = problem.num_tokens;
  double num_values = tokens * static_cast<double>(4 * problem.input_size() + problem.output_size());
  if (problem.is_moe()) {
    num_values += tokens * problem.top_k * static_cast<double>(problem.hidden_size + 2 * problem.intermediate_size);
  }
  const double needed = 2 * problem.weight_bytes() + num_values * sizeof(float);
  const std::uint64_t available = available_memory_bytes();
  if (available == 0 || needed <= static_cast<double>(available)) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("nvfp4 bench: problem \"{}\"", problem.to_string()),
               fmt::format("needs {} and {} are free; measure a smaller one", human_bytes(needed),
                           human_bytes(static_cast<double>(available)))};
}

Result<BenchResult> measure(const BenchProblem& problem, const BenchSettings& settings, Ceilings& ceilings,
                            WorkerPool& pool) {
  auto layers = BenchLayers::create(problem, num_copies_for(problem, settings.hot), settings.instruction_set, pool);
  NVFP4_RETURN_IF_ERROR(layers);
  ProblemBench bench(problem, settings, std::move(layers).value(), ceilings, pool);
  return bench.run();
}

}  // namespace nvfp4::apps
