#include "layers/device_selftest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "device/buffer.h"
#include "formats/bf16.h"
#include "kernels/catalogue/device_catalogue.h"
#include "kernels/reference/linear.h"
#include "kernels/reference/moe.h"
#include "prepare/device_sample.h"
#include "prepare/random_device_weight.h"
#include "prepare/random_routing.h"
#include "prepare/random_weight.h"

namespace nvfp4::layers {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceLinearKernel;
using kernels::DeviceLinearProblem;
using kernels::DeviceMoeKernel;
using kernels::MoeProblem;
using kernels::ValueCounts;

constexpr std::uint64_t kKey = 20;
constexpr std::uint8_t kPoison = 0xFF;     // NaN, as BF16 and as float32
constexpr std::size_t kMaxTokens = 8;      // of the sample
constexpr std::size_t kMaxRowGroups = 16;  // of 16 rows
constexpr double kMoeProducts = 1e9;       // of the reference of experts, about

// The first, the last, and some between: ascending, different.
std::vector<std::uint64_t> sample_of(std::uint64_t count, std::size_t most, std::uint64_t key) {
  std::vector<std::uint64_t> out;
  if (count <= most) {
    for (std::uint64_t i = 0; i < count; ++i) out.push_back(i);
    return out;
  }
  out = {0, count - 1};
  for (std::size_t i = 2; i < most; ++i) out.push_back(prepare::mix_bits(key + i) % count);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// Inputs, outputs and workspace of a call.
class Call {
 public:
  Call(std::uint64_t num_tokens, std::uint64_t in, std::uint64_t out, const TestDevice& device)
      : num_tokens_(num_tokens), in_(in), out_(out), device_(device) {}

  [[nodiscard]] Status create(const kernels::DevicePlanSizes& sizes) {
    const kernels::DeviceRandom& random = *kernels::device_random();
    NVFP4_RETURN_IF_ERROR(allocate(num_tokens_ * in_ * sizeof(Bf16Bits), x_));
    NVFP4_RETURN_IF_ERROR(random.fill_bf16(num_tokens_ * in_, 1.0, kKey, x_.as<Bf16Bits>(), device_.stream));
    NVFP4_RETURN_IF_ERROR(allocate(num_tokens_ * out_ * sizeof(Bf16Bits), y_));
    NVFP4_RETURN_IF_ERROR(allocate(sizes.workspace_bytes, workspace_));
    NVFP4_RETURN_IF_ERROR(workspace_.fill(kPoison, device_.stream));
    NVFP4_RETURN_IF_ERROR(runtime::fill(workspace_.data(), 0, sizes.zeroed_bytes, device_.stream));
    return allocate(sizeof(ValueCounts), counts_);
  }

  // Twice, from what the first run left in the workspace. run(x, y, workspace) -> Status. False when an output is not
  // finite, or when the sampled tokens come out in other bits.
  template <class Run>
  [[nodiscard]] Result<bool> run(std::span<const std::uint64_t> tokens, const Run& run) {
    for (std::vector<Bf16Bits>* const found : {&first_, &found_}) {
      NVFP4_RETURN_IF_ERROR(y_.fill(kPoison, device_.stream));
      NVFP4_RETURN_IF_ERROR(
          run(x_.as<Bf16Bits>(), y_.as<Bf16Bits>(), kernels::DeviceWorkspace{workspace_.data(), workspace_.size()}));
      NVFP4_RETURN_IF_ERROR(rows_to_host(y_, out_, tokens, *found));
    }
    NVFP4_RETURN_IF_ERROR(rows_to_host(x_, in_, tokens, x_there_));
    ValueCounts counts;
    NVFP4_RETURN_IF_ERROR(counts_.fill(0, device_.stream));
    NVFP4_RETURN_IF_ERROR(kernels::device_random()->count_bf16(y_.as<Bf16Bits>(), num_tokens_ * out_,
                                                               counts_.as<ValueCounts>(), device_.stream));
    NVFP4_RETURN_IF_ERROR(to_host(counts_, std::span(&counts, 1), device_.stream));
    return counts.num_not_finite == 0 && first_ == found_;
  }

  // Of the i-th token of the sample.
  [[nodiscard]] std::span<const Bf16Bits> x(std::size_t i) const { return {x_there_.data() + i * in_, in_}; }
  [[nodiscard]] std::span<const Bf16Bits> y(std::size_t i) const { return {found_.data() + i * out_, out_}; }

 private:
  static Status allocate(std::uint64_t num_bytes, Buffer& out) {
    auto buffer = Buffer::allocate(num_bytes, "self-test");
    NVFP4_RETURN_IF_ERROR(buffer);
    out = std::move(buffer).value();
    return {};
  }
  [[nodiscard]] Status rows_to_host(const Buffer& from, std::uint64_t columns, std::span<const std::uint64_t> rows,
                                    std::vector<Bf16Bits>& to) const {
    const std::uint64_t row_bytes = columns * sizeof(Bf16Bits);
    to.resize(rows.size() * columns);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      NVFP4_RETURN_IF_ERROR(from.download(to.data() + i * columns, row_bytes, rows[i] * row_bytes, device_.stream));
    }
    return runtime::synchronize(device_.stream);
  }

  std::uint64_t num_tokens_, in_, out_;
  const TestDevice& device_;
  Buffer x_, y_, workspace_, counts_;
  std::vector<Bf16Bits> first_, found_, x_there_;
};

// A float32 sum of in_features products: what a step of 16 columns adds is cut off below 2^-23 of the sum so far, a few
// times more at its end.
double linear_tolerance(const DeviceLinearProblem& problem) {
  return 0x1p-23 * (static_cast<double>(problem.in_features) / 16 + 16);
}

// Sums in float32 round a few inner values to their other neighbour: a few steps of 2^-7, or of E2M1, among many; one
// step of the largest E2M1 numbers is as much as their root mean square. Partial results in 16 bits add 2^-11 of each.
double moe_tolerance(const MoeProblem& problem, std::size_t num_tokens) {
  if (problem.activation == Activation::k16Bit) return 8e-4;
  constexpr double kSteps = 2;
  const double num_values = static_cast<double>(num_tokens) * problem.top_k * problem.intermediate;
  return 8e-3 + std::sqrt(kSteps / num_values);
}

// What the reference says of sampled tokens, each on a worker.
template <class OfToken>
std::vector<double> expected_of(std::size_t num_tokens, std::uint64_t columns, WorkerPool& pool,
                                const OfToken& of_token) {
  std::vector<double> expected(num_tokens * columns);
  pool.run(num_tokens, [&](std::size_t i, std::size_t) {
    const std::vector<double> y = of_token(i);
    std::copy(y.begin(), y.end(), expected.begin() + static_cast<std::ptrdiff_t>(i * columns));
  });
  return expected;
}

std::vector<double> linear_reference(const prepare::PreparedWeight& weight, std::span<const Bf16Bits> x) {
  std::vector<float> values(x.size());
  std::transform(x.begin(), x.end(), values.begin(), decode_bf16);
  kernels::LinearArgs args;
  args.x = values.data();
  args.num_rows = 1;
  return kernels::reference::linear(weight.view(), weight.activation, args);
}

// The experts that sampled tokens go to and that are here, and where they are among those.
struct SampledExperts {
  std::vector<std::uint32_t> experts;
  std::vector<std::int32_t> places;  // [num_ids], -1: not among them
};
SampledExperts experts_of(const MoeProblem& problem, const prepare::RandomRouting& routing,
                          std::span<const std::uint64_t> tokens) {
  SampledExperts out;
  out.places.assign(problem.num_ids(), -1);
  const auto add = [&](std::int32_t id) {
    std::int32_t& place = out.places[static_cast<std::size_t>(id)];
    if (place >= 0 || id >= static_cast<std::int32_t>(problem.num_experts)) return;
    place = static_cast<std::int32_t>(out.experts.size());
    out.experts.push_back(static_cast<std::uint32_t>(id));
  };
  for (const std::uint64_t token : tokens) {
    for (std::uint32_t j = 0; j < problem.top_k; ++j) add(routing.expert_ids[token * problem.top_k + j]);
  }
  if (out.experts.empty()) add(0);
  return out;
}

std::vector<double> moe_reference(const MoeProblem& problem, const prepare::ExpertProjections& projections,
                                  const SampledExperts& sampled, const prepare::RandomRouting& routing,
                                  std::uint64_t token, std::span<const Bf16Bits> x) {
  const kernels::LinearWeight gate = projections.gate ? projections.gate->view() : kernels::LinearWeight{};
  const kernels::LinearWeight up = projections.up.view();
  const kernels::LinearWeight down = projections.down.view();
  MoeProblem part = problem;
  part.num_experts = static_cast<std::uint32_t>(sampled.experts.size());
  part.num_global_experts = problem.num_ids();
  kernels::DeviceMoeArgs args;
  args.num_tokens = 1;
  args.x = x.data();
  args.expert_ids = routing.expert_ids.data() + token * problem.top_k;
  args.router_weights = routing.weights.data() + token * problem.top_k;
  args.expert_map = sampled.places.data();
  return kernels::reference::moe(part, {{projections.gate ? &gate : nullptr, &up, &down}, {}}, args);
}

// As many as are affordable; at least the first and the last.
std::size_t num_moe_tokens(const MoeProblem& problem) {
  const double products = double{3} * problem.top_k * problem.hidden * problem.intermediate;
  return static_cast<std::size_t>(std::clamp(kMoeProducts / products, 2.0, double{kMaxTokens}));
}

}  // namespace

Result<DeviceAnswer> selftest(const DeviceLinearKernel& kernel, const DeviceLinearProblem& problem, TestTokens tokens,
                              const TestDevice& device) {
  const auto plan = kernel.plan(problem, device.caps, tokens.planned);
  NVFP4_RETURN_IF_ERROR(plan);
  const auto weight = prepare::random_device_linear(problem, kernel.nvfp4_layout, kKey, "self-test", device.stream);
  NVFP4_RETURN_IF_ERROR(weight);
  Call call(tokens.num_tokens, problem.in_features, problem.out_features, device);
  NVFP4_RETURN_IF_ERROR(call.create(plan->sizes));
  const std::vector<std::uint64_t> sample = sample_of(tokens.num_tokens, kMaxTokens, kKey);
  const auto is_sound =
      call.run(sample, [&](const Bf16Bits* x, Bf16Bits* y, const kernels::DeviceWorkspace& workspace) {
        return kernel.run(*plan, weight->view(), {tokens.num_tokens, x, y}, workspace, device.stream);
      });
  NVFP4_RETURN_IF_ERROR(is_sound);
  DeviceAnswer answer{std::numeric_limits<double>::infinity(), linear_tolerance(problem)};
  if (!*is_sound) return answer;

  constexpr std::uint64_t kGroupRows = 16;
  const std::vector<std::uint64_t> groups =
      sample_of((problem.out_features + kGroupRows - 1) / kGroupRows, kMaxRowGroups, kKey + kMaxTokens);
  const auto rows = prepare::rows_to_host(*weight, groups, device.stream);
  NVFP4_RETURN_IF_ERROR(rows);
  const std::vector<double> expected = expected_of(sample.size(), rows->out_features, device.pool,
                                                   [&](std::size_t i) { return linear_reference(*rows, call.x(i)); });
  std::vector<Bf16Bits> found;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    for (const std::uint64_t group : groups) {
      const std::span<const Bf16Bits> y = call.y(i).subspan(group * kGroupRows);
      found.insert(found.end(), y.begin(), y.begin() + static_cast<std::ptrdiff_t>(std::min(y.size(), kGroupRows)));
    }
  }
  answer.error = error_beyond_rounding(found, expected);
  return answer;
}

Result<DeviceAnswer> selftest(const DeviceMoeKernel& kernel, const MoeProblem& problem, TestTokens tokens,
                              const TestDevice& device) {
  const auto plan = kernel.plan(problem, device.caps, tokens.planned);
  NVFP4_RETURN_IF_ERROR(plan);
  const auto experts = prepare::random_device_experts(problem, kernel.nvfp4_layout, kKey, "self-test", device.stream);
  NVFP4_RETURN_IF_ERROR(experts);
  const prepare::RandomRouting routing =
      prepare::random_routing(tokens.num_tokens, problem.num_ids(), problem.top_k, kKey);
  const auto expert_ids = to_device(std::span<const std::int32_t>(routing.expert_ids), device.stream);
  NVFP4_RETURN_IF_ERROR(expert_ids);
  const auto router_weights = to_device(std::span<const float>(routing.weights), device.stream);
  NVFP4_RETURN_IF_ERROR(router_weights);
  Call call(tokens.num_tokens, problem.hidden, problem.hidden, device);
  NVFP4_RETURN_IF_ERROR(call.create(plan->sizes));
  const std::vector<std::uint64_t> sample = sample_of(tokens.num_tokens, num_moe_tokens(problem), kKey);
  kernels::DeviceMoeWeights weights;
  weights.experts = experts->view();
  kernels::DeviceMoeArgs args;
  args.num_tokens = tokens.num_tokens;
  args.expert_ids = expert_ids->as<std::int32_t>();
  args.router_weights = router_weights->as<float>();
  const auto is_sound =
      call.run(sample, [&](const Bf16Bits* x, Bf16Bits* y, const kernels::DeviceWorkspace& workspace) {
        args.x = x;
        args.y = y;
        return kernel.run(*plan, weights, args, workspace, device.stream);
      });
  NVFP4_RETURN_IF_ERROR(is_sound);
  DeviceAnswer answer{std::numeric_limits<double>::infinity(), moe_tolerance(problem, sample.size())};
  if (!*is_sound) return answer;

  const SampledExperts sampled = experts_of(problem, routing, sample);
  const auto projections = prepare::experts_to_host(*experts, problem, sampled.experts, device.stream, device.pool);
  NVFP4_RETURN_IF_ERROR(projections);
  const std::vector<double> expected = expected_of(sample.size(), problem.hidden, device.pool, [&](std::size_t i) {
    return moe_reference(problem, *projections, sampled, routing, sample[i], call.x(i));
  });
  std::vector<Bf16Bits> found;
  for (std::size_t i = 0; i < sample.size(); ++i) found.insert(found.end(), call.y(i).begin(), call.y(i).end());
  answer.error = error_beyond_rounding(found, expected);
  return answer;
}

double error_beyond_rounding(std::span<const Bf16Bits> found, std::span<const double> expected) {
  constexpr int kHalfStep = 9;  // of numbers from 2^(e - 1) on: 2^(e - 9)
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double value = decode_bf16(found[i]);
    int exponent = 0;
    std::frexp(value, &exponent);
    const double half_step = value == 0 ? 0 : std::ldexp(1.0, exponent - kHalfStep);
    const double beyond = std::fabs(value - expected[i]) - half_step;
    if (!(beyond <= 0)) difference += beyond * beyond;
    norm += expected[i] * expected[i];
  }
  if (!std::isfinite(difference) || !std::isfinite(norm)) return std::numeric_limits<double>::infinity();
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

}  // namespace nvfp4::layers
