// Sums over a token's experts from numbers that share words: to the bit what the header's equation says.
#include "kernels/cuda_sm90/combine_paired.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "formats/bf16.h"
#include "support/emulated_size.h"
#include "support/gpu_array.h"
#include "support/random_linear.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using support::GpuArray;
using support::GpuQueue;
using support::Random;

// As paired_floats.cuh says.
struct PairedNumbers {
  std::uint32_t word = 0;
  float first = 0, second = 0;

  PairedNumbers(std::int32_t a, std::int32_t b, std::uint32_t exponent)
      : word(static_cast<std::uint32_t>(b + 2048) << 20U | (exponent - 10) << 12U |
             static_cast<std::uint32_t>(a + 2048)),
        first(std::ldexp(static_cast<float>(a), static_cast<int>(exponent) - 137)),
        second(std::ldexp(static_cast<float>(b), static_cast<int>(exponent) - 137)) {}
};

std::int32_t random_integer(Random& random) { return static_cast<std::int32_t>(random.below(4095)) - 2047; }

struct Rows {
  std::vector<std::uint32_t> words;  // [rows][H / 16][8]: numbers i and i + 8 of 16
  std::vector<float> numbers;        // [rows][H]

  Rows(std::uint32_t num_rows, std::uint32_t hidden, Random& random) : numbers(std::size_t{num_rows} * hidden) {
    for (std::size_t i = 0; i < numbers.size() / 2; ++i) {
      const std::size_t place = i / 8 * 16 + i % 8;
      const std::uint32_t exponent = i % 97 == 0 ? 11 : 120 + static_cast<std::uint32_t>(random.below(10));
      const PairedNumbers pair(random_integer(random), random_integer(random), exponent);
      words.push_back(pair.word);
      numbers[place] = pair.first;
      numbers[place + 8] = pair.second;
    }
  }
};

void expect_exact(std::uint32_t num_tokens, std::uint32_t top_k, std::uint32_t hidden, bool has_weights,
                  bool has_shared) {
  const GpuQueue queue;
  Random random(num_tokens + top_k);
  const std::uint32_t num_pairs = num_tokens * top_k;
  const Rows rows(num_pairs, hidden, random);
  std::vector<float> scales(num_pairs), weights(num_pairs), shared(std::size_t{num_tokens} * hidden);
  std::vector<float> shared_weights(num_tokens);
  for (std::vector<float>* numbers : {&scales, &weights, &shared, &shared_weights}) {
    for (float& number : *numbers) number = random.uniform(0.1F, 2.0F);
  }
  std::vector<std::int32_t> row_of_pair;  // sorted the other way round, every fifth nowhere
  for (std::uint32_t pair = 0; pair < num_pairs; ++pair) {
    row_of_pair.push_back(pair % 5 == 3 ? -1 : static_cast<std::int32_t>(num_pairs - 1 - pair));
  }

  std::vector<Bf16Bits> expected;
  for (std::uint32_t t = 0; t < num_tokens; ++t) {
    for (std::uint32_t n = 0; n < hidden; ++n) {
      float sum = 0;
      for (std::uint32_t pair = t * top_k; pair < (t + 1) * top_k; ++pair) {
        if (row_of_pair[pair] < 0) continue;
        const auto row = static_cast<std::uint32_t>(row_of_pair[pair]);
        const float weight = has_weights ? scales[row] * weights[pair] : scales[row];
        sum = std::fma(weight, rows.numbers[std::size_t{row} * hidden + n], sum);
      }
      if (has_shared) sum = std::fma(shared_weights[t], shared[std::size_t{t} * hidden + n], sum);
      expected.push_back(encode_bf16(sum));
    }
  }

  const GpuArray<std::uint32_t> words_there(queue, rows.words);
  const GpuArray<float> scales_there(queue, scales), weights_there(queue, weights), shared_there(queue, shared);
  const GpuArray<float> shared_weights_there(queue, shared_weights);
  const GpuArray<std::int32_t> row_of_pair_there(queue, row_of_pair);
  const GpuArray<Bf16Bits> y(queue, expected.size());
  CombinePaired combine;
  combine.num_tokens = num_tokens;
  combine.top_k = top_k;
  combine.hidden = hidden;
  combine.paired = words_there.data();
  combine.scales = scales_there.data();
  combine.row_of_pair = row_of_pair_there.data();
  combine.router_weights = has_weights ? weights_there.data() : nullptr;
  combine.shared = has_shared ? shared_there.data() : nullptr;
  combine.shared_weights = has_shared ? shared_weights_there.data() : nullptr;
  combine.y = y.data();
  queue.expect_ok(combine_paired(combine, queue.get()));
  EXPECT_TRUE(y.host() == expected) << num_tokens << " tokens of " << top_k << " experts, H " << hidden;
}

TEST(CombinePaired, AddsInTheOrderOfTheSlots) {
  expect_exact(1, 1, 16, true, false);
  expect_exact(3, 8, 80, true, true);
  expect_exact(5, 11, 208, false, true);
  expect_exact(support::size_for(300, 9), 22, support::size_for(2688, 48), true, false);
}

// Units of an infinity: both numbers are NaN.
TEST(CombinePaired, WhatIsNotFiniteIsSeen) {
  const GpuQueue queue;
  const std::vector<std::uint32_t> words{0x800FF800U, 0, 0, 0, 0, 0, 0, 0};
  const GpuArray<std::uint32_t> words_there(queue, words);
  const GpuArray<float> scales(queue, std::vector<float>{1.0F});
  const GpuArray<std::int32_t> row_of_pair(queue, std::vector<std::int32_t>{0});
  const GpuArray<Bf16Bits> y(queue, 16);
  CombinePaired combine;
  combine.num_tokens = combine.top_k = 1;
  combine.hidden = 16;
  combine.paired = words_there.data();
  combine.scales = scales.data();
  combine.row_of_pair = row_of_pair.data();
  combine.y = y.data();
  queue.expect_ok(combine_paired(combine, queue.get()));
  const std::vector<Bf16Bits> found = y.host();
  for (std::uint32_t n = 0; n < 16; ++n) EXPECT_EQ(std::isnan(decode_bf16(found[n])), n % 8 == 0) << n;
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
