// Every linear kernel of the catalogue on the same problems, against kernels/reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "formats/bf16.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "kernels/reference/linear.h"
#include "support/allocation_counter.h"
#include "support/packed_linear.h"
#include "support/random_linear.h"
#include "support/sanitized.h"

namespace nvfp4::kernels {
namespace {

using support::LinearSpec;
using support::Random;
using support::RandomLinear;

// The kinds of weights and inputs that the contract tells apart; shapes come later.
std::vector<LinearSpec> all_kinds() {
  std::vector<LinearSpec> kinds;
  const auto add = [&](WeightFormat format, Activation activation, auto change) {
    LinearSpec spec;
    spec.format = format;
    spec.activation = activation;
    change(spec);
    kinds.push_back(spec);
  };
  const auto plain = [](LinearSpec&) {};
  const auto ornate = [](LinearSpec& spec) { spec.bias = spec.pre_quant_scale = true; };
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16}) {
    add(format, Activation::k16Bit, plain);
    add(format, Activation::k16Bit, ornate);
  }
  for (const Activation activation : {Activation::k16Bit, Activation::kFp8Static, Activation::kFp8Dynamic}) {
    add(WeightFormat::kFp8, activation, plain);
    add(WeightFormat::kFp8, activation, ornate);
    add(WeightFormat::kFp8, activation, [](LinearSpec& spec) { spec.per_row_scale = true; });
  }
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    add(WeightFormat::kNvfp4, activation, plain);
    add(WeightFormat::kNvfp4, activation, [](LinearSpec& spec) { spec.num_shards = 3; });
    add(WeightFormat::kNvfp4, activation, [](LinearSpec& spec) { spec.num_shards = 2, spec.block_size = 32; });
    add(WeightFormat::kNvfp4, activation, ornate);
  }
  add(WeightFormat::kNvfp4, Activation::kNvfp4Static, [](LinearSpec& spec) {
    spec.input_rule = QuantizerRule::kCompressedTensors;
    spec.num_shards = 3;
  });
  return kinds;
}

struct Case {
  const LinearKernel* kernel = nullptr;
  LinearSpec kind;
};

std::string kind_name(const LinearSpec& kind) {
  std::string name = std::string(weight_format_name(kind.format)) + "_" + std::string(activation_name(kind.activation));
  if (kind.input_rule == QuantizerRule::kCompressedTensors) name += "_divisor";
  if (kind.block_size == 32) name += "_block32";
  if (kind.num_shards > 1) name += "_shards" + std::to_string(kind.num_shards);
  if (kind.per_row_scale) name += "_per_row";
  if (kind.pre_quant_scale) name += "_pre_quant";
  if (kind.bias) name += "_bias";
  return name;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = std::string(info.param.kernel->name) + "_with_" + kind_name(info.param.kind);
  std::replace_if(name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

LinearProblem problem_of(const LinearSpec& spec) {
  const std::uint32_t block_size = spec.format == WeightFormat::kNvfp4 ? spec.block_size : 0;
  return {spec.format, spec.activation, spec.out_features, spec.in_features, spec.num_experts, block_size};
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const LinearKernel& kernel : linear_kernels()) {
    if (!runs_here(kernel.needs)) continue;
    for (LinearSpec kind : all_kinds()) {
      kind.in_features = 64;
      if (kernel.refusal(problem_of(kind)).empty()) cases.push_back({&kernel, kind});
    }
  }
  return cases;
}

// An output that a kernel must not go beyond, and the run of a kernel into it.
constexpr float kGuard = 12345.0F;

std::vector<float> run(const LinearKernel& kernel, const RandomLinear& linear, std::span<const float> x,
                       std::span<const std::uint32_t> offsets, WorkerPool& pool, bool round_to_bf16 = false) {
  const auto num_rows = static_cast<std::uint32_t>(x.size() / linear.spec.in_features);
  const std::size_t num_values = num_rows * linear.spec.out_features;
  constexpr std::size_t kGuards = 16;
  std::vector<float> y(num_values + 2 * kGuards, kGuard);
  const std::size_t num_bytes = kernel.workspace_bytes(linear.problem(), num_rows, pool.num_workers());
  Workspace workspace;
  workspace.reserve(num_bytes);
  const LinearArgs args{x.data(), y.data() + kGuards, num_rows, offsets, round_to_bf16};
  const support::PackedLinear packed(linear, kernel.layout);
#if NVFP4_COUNTS_ALLOCATIONS
  const std::size_t before = support::num_allocations;
#endif
  kernel.run(packed.view(), linear.spec.activation, args, workspace, pool);
#if NVFP4_COUNTS_ALLOCATIONS
  EXPECT_EQ(support::num_allocations - before, 0U) << "run() allocates";
#endif
  EXPECT_LE(workspace.peak_bytes(), num_bytes) << "run() takes more than workspace_bytes()";
  for (std::size_t i = 0; i < kGuards; ++i) {
    EXPECT_EQ(y[i], kGuard);
    EXPECT_EQ(y[kGuards + num_values + i], kGuard);
  }
  return {y.begin() + kGuards, y.end() - kGuards};
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float l, float r) {
    return std::bit_cast<std::uint32_t>(l) == std::bit_cast<std::uint32_t>(r);
  });
}

// |y - ref| <= gamma * (|bias| + sum |a w|). With u = 2^-24, a sum in at least 8 lanes rounds each product once and
// adds at most ceil(in / 8) - 1 times in its lane, 3 times across lanes; the two scales are multiplied with each other
// and with the sum, one of them may be a reciprocal, and the bias is added: ceil(in / 8) + 7 roundings in the longest
// chain.
double gamma_of(std::uint64_t in_features) {
  const double roundings = static_cast<double>((in_features + 7) / 8 + 7) * 0x1p-24;
  return roundings / (1 - roundings);
}

class LinearKernels : public testing::TestWithParam<Case> {
 protected:
  const LinearKernel& kernel() const { return *GetParam().kernel; }
  RandomLinear make(std::uint64_t out_features, std::uint64_t in_features, std::uint32_t num_experts, Random& random) {
    LinearSpec spec = GetParam().kind;
    spec.out_features = out_features;
    spec.in_features = in_features;
    spec.num_experts = num_experts;
    if (num_experts > 1) spec.bias = false;
    return {spec, random};
  }
  // Rows of different sizes, so that dynamic scales differ.
  static std::vector<float> make_input(std::uint32_t num_rows, std::uint64_t in_features, Random& random) {
    std::vector<float> x = random.floats(num_rows * in_features, -1.0F, 1.0F);
    for (std::uint32_t row = 0; row < num_rows; ++row) {
      const float size = random.uniform(0.1F, 5.0F);
      for (std::uint64_t k = 0; k < in_features; ++k) x[row * in_features + k] *= size;
    }
    return x;
  }
  WorkerPool pool_{3};
};

void expect_within_bound(const RandomLinear& linear, std::span<const float> y, const LinearArgs& args,
                         const std::string& where) {
  std::vector<double> magnitude;
  const std::vector<double> expected = reference::linear(linear.view(), linear.spec.activation, args, &magnitude);
  const double gamma = gamma_of(linear.spec.in_features);
  std::size_t num_wrong = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (std::fabs(y[i] - expected[i]) <= gamma * magnitude[i]) continue;
    if (num_wrong++ == 0) {
      ADD_FAILURE() << where << ": y[" << i / linear.spec.out_features << ", " << i % linear.spec.out_features
                    << "] = " << y[i] << " instead of " << expected[i] << ", bound " << gamma * magnitude[i];
    }
  }
  EXPECT_EQ(num_wrong, 0U) << where << ": wrong values of " << y.size();
}

TEST_P(LinearKernels, AgreeWithFloat64OnRaggedShapes) {
  struct Rows {
    std::uint32_t num_rows, num_experts;
  };
  constexpr std::array kRows = {Rows{65, 16}, Rows{1, 1}, Rows{7, 3},  Rows{0, 3}, Rows{65, 1}, Rows{2, 16},
                                Rows{7, 1},   Rows{0, 1}, Rows{65, 3}, Rows{2, 1}, Rows{1, 3}};
  Random random(1);
  std::size_t at = 0;
  for (const std::uint64_t in_features : {1, 7, 20, 16, 48, 64, 80, 320, support::kIsSanitized ? 192 : 1856}) {
    LinearSpec spec = GetParam().kind;
    spec.in_features = in_features;
    if (!kernel().refusal(problem_of(spec)).empty()) continue;  // not whole blocks
    for (const std::uint64_t out_features : {1, 3, 4, 5, 33, 100}) {
      for (int i = 0; i < 3; ++i) {
        const auto [num_rows, num_experts] = kRows[at++ % kRows.size()];
        const RandomLinear linear = make(out_features, in_features, num_experts, random);
        const std::vector<float> x = make_input(num_rows, in_features, random);
        const std::vector<std::uint32_t> offsets = support::random_offsets(num_rows, num_experts, random);
        const LinearArgs args{x.data(), nullptr, num_rows, offsets};
        const std::vector<float> y = run(kernel(), linear, x, offsets, pool_);
        expect_within_bound(linear, y, args,
                            std::to_string(num_experts) + " x [" + std::to_string(out_features) + ", " +
                                std::to_string(in_features) + "], " + std::to_string(num_rows) + " rows");
      }
    }
  }
  EXPECT_GE(at, 3U * 6 * 3);  // 64, 320 and the last at least
}

TEST_P(LinearKernels, ResultDoesNotDependOnTheNumberOfWorkers) {
  Random random(2);
  const RandomLinear linear = make(100, 320, 5, random);
  const std::vector<float> x = make_input(23, 320, random);
  const std::vector<std::uint32_t> offsets = support::random_offsets(23, 5, random);
  WorkerPool alone(1);
  const std::vector<float> expected = run(kernel(), linear, x, offsets, alone);
  for (const std::size_t num_workers : {2, 3, 8}) {
    WorkerPool pool(num_workers);
    EXPECT_TRUE(same_bits(run(kernel(), linear, x, offsets, pool), expected)) << num_workers;
  }
}

TEST_P(LinearKernels, OutputsAreRoundedToBf16OnRequest) {
  Random random(6);
  const RandomLinear linear = make(37, 160, 2, random);
  const std::vector<float> x = make_input(19, 160, random);
  const std::vector<std::uint32_t> offsets = {0, 1, 19};
  const std::vector<float> exact = run(kernel(), linear, x, offsets, pool_);
  const std::vector<float> rounded = run(kernel(), linear, x, offsets, pool_, true);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_EQ(rounded[i], round_to_bf16(exact[i]));
}

TEST_P(LinearKernels, ResultDoesNotDependOnHowRowsAreSplitIntoCalls) {
  Random random(3);
  for (const std::uint32_t num_experts : {1U, 4U}) {
    const RandomLinear linear = make(37, 160, num_experts, random);
    const std::vector<float> x = make_input(19, 160, random);
    const std::vector<std::uint32_t> offsets = support::random_offsets(19, num_experts, random);
    const std::vector<float> together = run(kernel(), linear, x, offsets, pool_);
    if (num_experts == 1) {
      EXPECT_TRUE(same_bits(run(kernel(), linear, x, {}, pool_), together)) << "without offsets";
    }
    for (std::uint32_t expert_idx = 0; expert_idx < num_experts; ++expert_idx) {
      for (std::uint32_t t = offsets[expert_idx]; t < offsets[expert_idx + 1]; ++t) {
        std::vector<std::uint32_t> of_one(num_experts + 1, 0);
        std::fill(of_one.begin() + expert_idx + 1, of_one.end(), 1U);
        const std::vector<float> alone = run(kernel(), linear, std::span(x).subspan(t * 160, 160), of_one, pool_);
        EXPECT_TRUE(same_bits(alone, std::span(together).subspan(t * 37, 37))) << "row " << t;
      }
    }
  }
}

TEST_P(LinearKernels, ARowThatIsNotFiniteIsSeenAndHarmsNoOther) {
  Random random(4);
  const RandomLinear linear = make(13, 64, 3, random);
  const std::vector<float> x = make_input(9, 64, random);
  const std::vector<std::uint32_t> offsets = {0, 4, 4, 9};
  const std::vector<float> clean = run(kernel(), linear, x, offsets, pool_);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
    std::vector<float> poisoned = x;
    poisoned[5 * 64 + 42] = bad;
    const std::vector<float> y = run(kernel(), linear, poisoned, offsets, pool_);
    for (std::size_t n = 0; n < 13; ++n) {
      const float value = y[5 * 13 + n];
      const bool may_be_infinite = GetParam().kind.activation == Activation::k16Bit && std::isinf(bad);
      EXPECT_TRUE(std::isnan(value) || (may_be_infinite && std::isinf(value))) << bad << " gives " << value;
    }
    EXPECT_TRUE(same_bits(std::span(y).first(5 * 13), std::span(clean).first(5 * 13)));
    EXPECT_TRUE(same_bits(std::span(y).subspan(6 * 13), std::span(clean).subspan(6 * 13)));
  }
}

TEST_P(LinearKernels, ZeroTinyAndHugeRowsKeepToTheBound) {
  Random random(5);
  const RandomLinear linear = make(9, 80, 1, random);
  if (GetParam().kind.block_size == 32) return;  // 80 is no multiple
  for (const float size : {0.0F, 1e-44F, 1e-38F, 1e-20F, 1e20F}) {
    std::vector<float> x = random.floats(3 * 80, -1.0F, 1.0F);
    for (float& value : x) value *= size;
    x[80 + 7] = 0.0F;
    const std::vector<float> y = run(kernel(), linear, x, {}, pool_);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const float bias = linear.bias.empty() ? 0.0F : linear.bias[i % 9];
      // Below 1e-30 nothing is left but the bias; 1e20 saturates static scales and overflows nothing.
      const float left = size == 0.0F ? 0.0F : size < 1e-30F ? 1e-28F : std::numeric_limits<float>::max();
      EXPECT_LE(std::fabs(y[i] - bias), left) << "rows of " << size;
    }
    if (size >= 1e-20F) expect_within_bound(linear, y, {x.data(), nullptr, 3, {}}, "rows of " + std::to_string(size));
  }
}

TEST_P(LinearKernels, FewerRowsTakeNoMoreWorkspace) {
  const LinearSpec& kind = GetParam().kind;
  const LinearProblem problem{kind.format, kind.activation, 33, 64, 7, kind.block_size};
  for (const std::size_t num_workers : {1, 2, 8}) {
    std::size_t last = 0;
    for (const std::uint32_t num_rows : {0U, 1U, 2U, 7U, 65U, 1000U}) {
      const std::size_t num_bytes = kernel().workspace_bytes(problem, num_rows, num_workers);
      EXPECT_GE(num_bytes, last);
      EXPECT_EQ(num_bytes % Workspace::kAlignment, 0U);
      last = num_bytes;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Catalogue, LinearKernels, testing::ValuesIn(all_cases()), case_name);

// The suite is not empty: a kernel serves every kind, and every kernel serves one.
TEST(LinearKernelsSuite, CoversEveryKindAndEveryKernel) {
  const std::vector<Case> cases = all_cases();
  for (const LinearSpec& kind : all_kinds()) {
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&](const Case& c) {
      return kind_name(c.kind) == kind_name(kind);
    })) << kind_name(kind);
  }
  for (const LinearKernel& kernel : linear_kernels()) {
    if (!runs_here(kernel.needs)) continue;
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&](const Case& c) { return c.kernel == &kernel; }))
        << kernel.name;
  }
}

}  // namespace
}  // namespace nvfp4::kernels
