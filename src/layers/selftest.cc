#include "layers/selftest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/workspace.h"
#include "formats/bf16.h"
#include "kernels/reference/linear.h"
#include "prepare/random_weight.h"
#include "prepare/relayout.h"

namespace nvfp4::layers {
namespace {

constexpr std::uint64_t kMaxRows = 136;  // of the weight: whole tiles and a part of one
constexpr std::uint32_t kMaxExperts = 2;
constexpr std::array<std::uint32_t, 3> kTokens = {1, 5, 35};
constexpr std::uint64_t kKey = 20;

// The same numbers every time.
Result<prepare::PreparedWeight> random_weight(const kernels::LinearProblem& problem, WorkerPool& pool) {
  prepare::PreparedWeight weight;
  weight.name = "selftest";
  weight.format = problem.weight;
  weight.activation = problem.activation;
  weight.num_experts = std::min(problem.num_experts, kMaxExperts);
  weight.out_features = std::min(problem.out_features, kMaxRows);
  weight.in_features = problem.in_features;
  weight.block_size = problem.block_size;
  const double spread = 1 / std::sqrt(static_cast<double>(problem.in_features));
  if (prepare::fill_random(weight, kKey, spread, pool)) return weight;
  return Error{ErrorCode::kIo, weight.name, "there is not enough memory for a sample of its weights"};
}

// BF16 numbers of about unit variance, some zeros among them.
std::vector<float> random_inputs(std::size_t count) {
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bits = prepare::mix_bits(kKey + i);
    const double unit = static_cast<double>(bits >> 40U) * 0x1p-24;
    x[i] = bits % 16 == 0 ? 0.0F : round_to_bf16(static_cast<float>(3.4 * unit - 1.7));
  }
  return x;
}

double relative_error(const std::vector<float>& found, const std::vector<double>& expected) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (found[i] - expected[i]) * (found[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  const double error = std::sqrt(difference / norm);
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

}  // namespace

Result<double> selftest(const kernels::LinearKernel& kernel, const kernels::LinearProblem& problem, WorkerPool& pool) {
  const auto plain = random_weight(problem, pool);
  NVFP4_RETURN_IF_ERROR(plain);
  auto prepared = random_weight(problem, pool);
  NVFP4_RETURN_IF_ERROR(prepared);
  NVFP4_RETURN_IF_ERROR(prepare::relayout(*prepared, kernel.layout, pool));
  double worst = 0;
  for (const std::uint32_t num_tokens : kTokens) {
    const std::vector<float> x = random_inputs(num_tokens * plain->in_features);
    // NaN: what a kernel does not write is seen.
    std::vector<float> y(num_tokens * plain->out_features, std::numeric_limits<float>::quiet_NaN());
    std::vector<std::uint32_t> offsets;
    if (plain->num_experts > 1) offsets = {0, num_tokens / 2, num_tokens};
    const kernels::LinearArgs args{x.data(), y.data(), num_tokens, offsets, false};
    Workspace workspace;
    workspace.reserve(kernel.workspace_bytes(prepared->problem(), num_tokens, pool.num_workers()));
    kernel.run(prepared->view(), problem.activation, args, workspace, pool);
    worst = std::max(worst, relative_error(y, kernels::reference::linear(plain->view(), problem.activation, args)));
  }
  return worst;
}

}  // namespace nvfp4::layers
