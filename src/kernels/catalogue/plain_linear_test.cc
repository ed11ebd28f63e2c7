// Kernels for weights without block scales: what the common suite does not ask.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "formats/e4m3.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "support/random_linear.h"

namespace nvfp4::kernels {
namespace {

using support::LinearSpec;
using support::Random;
using support::RandomLinear;

bool is_vector_kernel(const LinearKernel& kernel, const LinearProblem& problem) {
  return kernel.needs != InstructionSet::kPortable && kernel.layout == WeightLayout::kRowMajor &&
         runs_here(kernel.needs) && kernel.refusal(problem).empty();
}

std::vector<float> run(const LinearKernel& kernel, const RandomLinear& linear, const std::vector<float>& x) {
  WorkerPool pool(2);
  const auto num_rows = static_cast<std::uint32_t>(x.size() / linear.spec.in_features);
  std::vector<float> y(num_rows * linear.spec.out_features);
  Workspace workspace;
  workspace.reserve(kernel.workspace_bytes(linear.problem(), num_rows, pool.num_workers()));
  kernel.run(linear.view(), linear.spec.activation, {x.data(), y.data(), num_rows, {}}, workspace, pool);
  return y;
}

bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16, WeightFormat::kFp8};

// Few tokens, many, more than one unit; and a sum that goes through several panels.
TEST(PlainLinear, InstructionSetsAndNumbersOfTokensHaveTheSameBits) {
  Random random(11);
  for (const WeightFormat format : kFormats) {
    for (const std::uint64_t in_features : {40, 1300}) {
      const RandomLinear linear({format, Activation::k16Bit, 37, in_features}, random);
      const std::vector<float> x = random.floats(205 * in_features, -1.0F, 1.0F);
      std::vector<float> expected;
      for (const LinearKernel& kernel : linear_kernels()) {
        if (!is_vector_kernel(kernel, linear.problem())) continue;
        const std::vector<float> all = run(kernel, linear, x);
        if (expected.empty()) expected = all;
        EXPECT_TRUE(std::equal(all.begin(), all.end(), expected.begin(), expected.end(), same_bits)) << kernel.name;
        for (const std::size_t count : {1, 2, 3, 4, 5, 6, 7, 12, 13, 97}) {
          const std::vector<float> y = run(kernel, linear, {x.end() - count * in_features, x.end()});
          EXPECT_TRUE(std::equal(y.begin(), y.end(), expected.end() - y.size(), same_bits))
              << kernel.name << " with " << count << " tokens";
        }
      }
    }
  }
}

// Every E4M3 code is itself, a NaN too, wherever it lies in a row.
TEST(PlainLinear, EveryFp8CodeHasItsValue) {
  for (const std::uint32_t num_tokens : {1U, 20U}) {
    for (const std::uint64_t position : {0, 37, 63, 64, 69}) {
      constexpr std::uint64_t kIn = 70;
      Random random(12);
      RandomLinear linear({WeightFormat::kFp8, Activation::k16Bit, 256, kIn}, random);
      std::fill(linear.elements.begin(), linear.elements.end(), std::byte{0});
      for (std::size_t code = 0; code < 256; ++code) linear.elements[code * kIn + position] = std::byte(code);
      linear.scale2.assign(1, 0.25F);
      const std::vector<float> x(num_tokens * kIn, 3.0F);
      for (const LinearKernel& kernel : linear_kernels()) {
        if (!is_vector_kernel(kernel, linear.problem())) continue;
        const std::vector<float> y = run(kernel, linear, x);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const float expected = decode_e4m3(static_cast<std::uint8_t>(i % 256)) * 3.0F * 0.25F;
          EXPECT_TRUE(std::isnan(expected) ? std::isnan(y[i]) : y[i] == expected) << kernel.name << " code " << i % 256;
        }
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
