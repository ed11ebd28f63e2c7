#include "apps/bench_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "apps/bench_device_laps.h"
#include "apps/bench_device_layer.h"
#include "apps/bench_rotation.h"
#include "apps/bench_routing.h"
#include "apps/command.h"
#include "apps/samples.h"
#include "device/buffer.h"
#include "device/graph.h"
#include "kernels/catalogue/device_catalogue.h"

namespace nvfp4::apps {
namespace {

using kernels::Bf16Bits;
using kernels::ValueCounts;

constexpr std::size_t kMinReplays = 20;
constexpr std::size_t kReplaysInARow = 5;
constexpr std::size_t kOutputBytes = std::size_t{1} << 31U;  // of all calls together
constexpr std::uint64_t kSpareBytes = std::uint64_t{1} << 29U;
constexpr std::uint64_t kInputKey = 7;
constexpr std::uint8_t kPoison = 0xFF;  // NaN as BF16: what is not written is seen

std::size_t input_bytes(const BenchProblem& problem) {
  return std::size_t{problem.num_tokens} * problem.input_size() * sizeof(Bf16Bits);
}
std::size_t output_bytes(const BenchProblem& problem) {
  return std::size_t{problem.num_tokens} * problem.output_size() * sizeof(Bf16Bits);
}

// What the weights of one call are, about.
double touched_bytes(const BenchProblem& problem) {
  if (!problem.is_moe()) return problem.bytes_read(1);
  return problem.bytes_read(expected_distinct_experts(problem)) - problem.bytes_read(0);
}

// Device memory besides the weights, with one output.
std::uint64_t other_bytes(const BenchProblem& problem, const DeviceLayer& layer) {
  return input_bytes(problem) + output_bytes(problem) + layer.workspace_bytes() + kSpareBytes;
}

Status check_memory_of(const BenchProblem& problem, const DeviceLayer& layer, std::uint64_t free_bytes) {
  const std::uint64_t needed = layer.copy_bytes() + other_bytes(problem, layer);
  if (needed <= free_bytes) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("nvfp4 bench: problem \"{}\"", problem.to_string()),
               fmt::format("needs {} and {} are free on the device; measure a smaller one",
                           human_bytes(static_cast<double>(needed)), human_bytes(static_cast<double>(free_bytes)))};
}

// Inputs, outputs and workspace of a layer's calls, and the graph of all of them.
class CallGraph {
 public:
  CallGraph(const BenchProblem& problem, const DeviceLayer& layer, const Stream& stream)
      : problem_(problem), layer_(layer), stream_(stream) {}

  [[nodiscard]] Status create(std::size_t num_calls, std::uint64_t free_bytes) {
    const kernels::DeviceRandom& random = *kernels::device_random();
    NVFP4_RETURN_IF_ERROR(allocate(input_bytes(problem_), input_));
    NVFP4_RETURN_IF_ERROR(
        random.fill_bf16(input_bytes(problem_) / sizeof(Bf16Bits), 1.0, kInputKey, input_.as<Bf16Bits>(), get()));
    const std::size_t affordable = std::min<std::uint64_t>(kOutputBytes, free_bytes) / output_bytes(problem_);
    num_outputs_ = std::clamp<std::size_t>(affordable, 1, num_calls);
    NVFP4_RETURN_IF_ERROR(allocate(num_outputs_ * output_bytes(problem_), outputs_));
    NVFP4_RETURN_IF_ERROR(allocate(layer_.workspace_bytes(), workspace_));
    NVFP4_RETURN_IF_ERROR(runtime::fill(workspace_.data(), 0, layer_.zeroed_bytes(), get()));
    NVFP4_RETURN_IF_ERROR(allocate(sizeof(ValueCounts), counts_));
    NVFP4_RETURN_IF_ERROR(stream_.synchronize());
    auto graph = Graph::capture(stream_, [&] { return enqueue(num_calls); });
    NVFP4_RETURN_IF_ERROR(graph);
    graph_ = std::move(graph).value();
    return {};
  }

  // Seconds of some replays in a row.
  [[nodiscard]] Result<std::vector<double>> replay() const {
    return DeviceLaps::measure(get(), kReplaysInARow, [this] { return graph_->launch(get()); });
  }

  [[nodiscard]] Status check_outputs() {
    ValueCounts counts;
    const std::size_t num_values = outputs_.size() / sizeof(Bf16Bits);
    NVFP4_RETURN_IF_ERROR(counts_.fill(0, get()));
    NVFP4_RETURN_IF_ERROR(
        kernels::device_random()->count_bf16(outputs_.as<Bf16Bits>(), num_values, counts_.as<ValueCounts>(), get()));
    NVFP4_RETURN_IF_ERROR(to_host(counts_, std::span(&counts, 1), get()));
    if (counts.num_not_finite != 0) {
      return wrong(fmt::format("{} numbers of {} that are not finite", counts.num_not_finite, num_values));
    }
    // A few of random sums may be zero, and with relu2 more; all of tokens whose experts are on other ranks.
    if (problem_.num_ids() == problem_.num_experts && counts.num_not_zero < num_values / 2) {
      return wrong(fmt::format("{} zeros of {} numbers", num_values - counts.num_not_zero, num_values));
    }
    return {};
  }

 private:
  [[nodiscard]] DeviceStream get() const { return stream_.get(); }

  [[nodiscard]] Status allocate(std::size_t num_bytes, Buffer& out) const {
    auto buffer = Buffer::allocate(num_bytes, problem_.to_string());
    NVFP4_RETURN_IF_ERROR(buffer);
    out = std::move(buffer).value();
    return out.fill(kPoison, get());
  }

  [[nodiscard]] Status enqueue(std::size_t num_calls) const {
    for (std::size_t call_idx = 0; call_idx < num_calls; ++call_idx) {
      std::byte* const y = outputs_.data() + call_idx % num_outputs_ * output_bytes(problem_);
      NVFP4_RETURN_IF_ERROR(layer_.run(call_idx, input_.as<Bf16Bits>(), reinterpret_cast<Bf16Bits*>(y),
                                       {workspace_.data(), workspace_.size()}, get()));
    }
    return {};
  }

  [[nodiscard]] Error wrong(const std::string& what) const {
    return Error{ErrorCode::kMalformed, problem_.to_string(),
                 fmt::format("kernel {} gave {}, which is wrong; please report it", layer_.kernel(), what)};
  }

  const BenchProblem& problem_;
  const DeviceLayer& layer_;
  const Stream& stream_;
  std::size_t num_outputs_ = 1;
  Buffer input_, outputs_, workspace_, counts_;
  std::optional<Graph> graph_;
};

struct ReplayTimes {
  Samples seconds;
  double shortest = std::numeric_limits<double>::infinity();
};

Result<ReplayTimes> repeat(CallGraph& graph, double wanted_seconds) {
  NVFP4_RETURN_IF_ERROR(graph.replay());  // the first ones are not counted
  NVFP4_RETURN_IF_ERROR(graph.check_outputs());
  ReplayTimes times;
  for (double sum = 0; times.seconds.size() < kMinReplays || sum < wanted_seconds;) {
    const auto replays = graph.replay();
    NVFP4_RETURN_IF_ERROR(replays);
    for (const double seconds : *replays) {
      times.seconds.add(seconds);
      times.shortest = std::min(times.shortest, seconds);
      sum += seconds;
    }
  }
  NVFP4_RETURN_IF_ERROR(graph.check_outputs());
  return times;
}

}  // namespace

Result<DeviceBench> DeviceBench::open(std::uint32_t device_idx) {
  auto device = Device::open(device_idx);
  NVFP4_RETURN_IF_ERROR(device);
  auto stream = Stream::create();
  NVFP4_RETURN_IF_ERROR(stream);
  auto owned = std::make_unique<Stream>(std::move(stream).value());
  auto ceilings = DeviceCeilings::create(*device, *owned);
  NVFP4_RETURN_IF_ERROR(ceilings);
  return DeviceBench(std::move(device).value(), std::move(owned), std::move(ceilings).value());
}

Status DeviceBench::check(const BenchProblem& problem, const DeviceBenchSettings& settings) const {
  const auto layer = DeviceLayer::create(problem, caps(), settings.kernel_name);
  NVFP4_RETURN_IF_ERROR(layer);
  const auto free_bytes = device_.free_bytes();
  NVFP4_RETURN_IF_ERROR(free_bytes);
  return check_memory_of(problem, **layer, *free_bytes);
}

Result<BenchResult> DeviceBench::measure(const BenchProblem& problem, const DeviceBenchSettings& settings) {
  const auto layer = DeviceLayer::create(problem, caps(), settings.kernel_name);
  NVFP4_RETURN_IF_ERROR(layer);
  const auto free_bytes = device_.free_bytes();
  NVFP4_RETURN_IF_ERROR(free_bytes);
  NVFP4_RETURN_IF_ERROR(check_memory_of(problem, **layer, *free_bytes));
  const std::uint64_t left = *free_bytes - other_bytes(problem, **layer);
  RotationNeeds needs;
  needs.touched_bytes = touched_bytes(problem);
  needs.copy_bytes = static_cast<double>((*layer)->copy_bytes());
  needs.affordable_bytes = std::max(needs.copy_bytes, 0.5 * static_cast<double>(left));
  needs.cache_bytes = caps().l2_bytes;
  needs.hot = settings.hot;
  const Rotation rotation = choose_rotation(needs);
  NVFP4_RETURN_IF_ERROR((*layer)->fill(rotation, settings.hot, stream_->get()));
  CallGraph graph(problem, **layer, *stream_);
  NVFP4_RETURN_IF_ERROR(graph.create(rotation.num_calls, left / 4));

  ceilings_.restart(settings.hot, static_cast<std::size_t>(needs.touched_bytes));
  NVFP4_RETURN_IF_ERROR(ceilings_.sample());
  auto times = repeat(graph, settings.seconds);
  NVFP4_RETURN_IF_ERROR(times);
  NVFP4_RETURN_IF_ERROR(ceilings_.sample());
  const auto num_calls = static_cast<double>(rotation.num_calls);
  return BenchResult{problem,
                     std::string((*layer)->kernel()),
                     rotation.num_copies,
                     times->seconds.size(),
                     times->seconds.median() / num_calls,
                     times->shortest / num_calls,
                     (*layer)->bytes_read(),
                     ceilings_.bytes_per_second(),
                     ceilings_.operations_per_second()};
}

}  // namespace nvfp4::apps
