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
#include "kernels/catalogue/row_catalogue.h"
#include "kernels/reference/linear.h"
#include "prepare/random_weight.h"
#include "prepare/relayout.h"

namespace nvfp4::layers {
namespace {

using kernels::LinearArgs;
using kernels::LinearKernel;
using kernels::LinearProblem;
using kernels::LinearWeight;

constexpr std::uint64_t kMaxRows =
    40;  // of the weight: what a kernel for many tokens decodes at once, and a part of it
constexpr std::uint32_t kMaxExperts = 2;
constexpr std::array<std::uint32_t, 3> kTokens = {1, 5, 35};
constexpr std::uint64_t kKey = 20;

// The same numbers every time.
Result<prepare::PreparedWeight> random_weight(const LinearProblem& problem, WorkerPool& pool) {
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

// In parts, so that additions do not wait for one another.
double dot(const double* a, const double* b, std::uint64_t count) {
  std::array<double, 4> sums{};
  std::uint64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    for (std::size_t i = 0; i < 4; ++i) sums[i] += a[k + i] * b[k + i];
  }
  for (; k < count; ++k) sums[0] += a[k] * b[k];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// A kernel's answers beside those of the reference, which decodes the weights once, before they are in the kernel's
// layout.
class Comparison {
 public:
  Comparison(const LinearKernel& kernel, Activation activation, const prepare::PreparedWeight& weight, WorkerPool& pool)
      : kernel_(kernel),
        activation_(activation),
        weight_(weight),
        pool_(pool),
        columns_(weight.in_features),
        decoded_(weight.num_experts * weight.out_features * columns_) {
    const LinearWeight view = weight.view();
    pool_.run(weight.num_experts * weight.out_features, [&](std::size_t row, std::size_t) {
      const auto expert_idx = static_cast<std::uint32_t>(row / view.out_features);
      kernels::reference::dequantize_row(view, expert_idx, row % view.out_features,
                                         {decoded_.data() + row * columns_, columns_});
    });
  }

  // Of so many tokens, the first half for the first expert.
  double error(std::uint32_t num_tokens) {
    const LinearWeight view = weight_.view();
    const std::vector<float> x = random_inputs(num_tokens * columns_);
    std::vector<std::uint32_t> offsets;
    if (view.num_experts > 1) offsets = {0, num_tokens / 2, num_tokens};
    std::vector<double> expected = reference(x, num_tokens, offsets);
    // NaN: what a kernel does not write is seen.
    std::vector<float> y(expected.size(), std::numeric_limits<float>::quiet_NaN());
    const LinearArgs args{x.data(), y.data(), num_tokens, offsets, false};
    workspace_.reserve(kernel_.workspace_bytes(weight_.problem(), num_tokens, pool_.num_workers()));
    kernel_.run(view, activation_, args, workspace_, pool_);
    const double plain_error = relative_error(y, expected);
    if (kernel_.run_gated == nullptr) return plain_error;
    // The weight as its own gate: what is expected is known already.
    for (double& value : expected) value *= value / (1 + std::exp(-value));
    std::fill(y.begin(), y.end(), std::numeric_limits<float>::quiet_NaN());
    workspace_.reserve(kernel_.gated_workspace_bytes(weight_.problem(), num_tokens, pool_.num_workers()));
    kernel_.run_gated({view, view, kernels::GateFunction::kSilu, kernels::row_kernels(kernel_.needs)}, activation_,
                      args, workspace_, pool_);
    return std::max(plain_error, relative_error(y, expected));
  }

 private:
  std::vector<double> reference(const std::vector<float>& x, std::uint32_t num_tokens,
                                const std::vector<std::uint32_t>& offsets) {
    const LinearWeight view = weight_.view();
    std::vector<double> y(num_tokens * view.out_features);
    std::vector<double> rounded(pool_.num_workers() * columns_);
    pool_.run(num_tokens, [&](std::size_t t, std::size_t worker_idx) {
      const std::uint32_t expert_idx = offsets.empty() || t < offsets[1] ? 0 : 1;
      const std::span<double> a(rounded.data() + worker_idx * columns_, columns_);
      kernels::reference::round_activation(view, activation_, expert_idx, {x.data() + t * columns_, columns_}, a);
      for (std::uint64_t n = 0; n < view.out_features; ++n) {
        const double* const w = decoded_.data() + (expert_idx * view.out_features + n) * columns_;
        y[t * view.out_features + n] = dot(a.data(), w, columns_);
      }
    });
    return y;
  }

  static double relative_error(const std::vector<float>& found, const std::vector<double>& expected) {
    double difference = 0;
    double norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += (found[i] - expected[i]) * (found[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    const double error = std::sqrt(difference / norm);
    return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
  }

  const LinearKernel& kernel_;
  Activation activation_;
  const prepare::PreparedWeight& weight_;
  WorkerPool& pool_;
  std::size_t columns_;
  std::vector<double> decoded_;  // [experts, rows, columns]
  Workspace workspace_;
};

}  // namespace

Result<double> selftest(const LinearKernel& kernel, const LinearProblem& problem, WorkerPool& pool) {
  auto weight = random_weight(problem, pool);
  NVFP4_RETURN_IF_ERROR(weight);
  Comparison comparison(kernel, problem.activation, *weight, pool);
  NVFP4_RETURN_IF_ERROR(prepare::relayout(*weight, kernel.layout, pool));
  double worst = 0;
  for (const std::uint32_t num_tokens : kTokens) worst = std::max(worst, comparison.error(num_tokens));
  return worst;
}

}  // namespace nvfp4::layers
