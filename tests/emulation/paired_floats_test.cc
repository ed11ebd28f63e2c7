// The numbers of paired_floats.cuh against its promises, by a kernel that encodes and decodes.
#include "kernels/cuda_sm90/paired_floats.cuh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "support/gpu_array.h"
#include "support/random_linear.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

__global__ void encode_and_decode(const float* from, float* to, std::uint32_t num_pairs) {
  const std::uint32_t i = blockIdx.x * 256 + threadIdx.x;
  if (i >= num_pairs) return;
  const std::uint32_t word = encode_pair(from[2 * i], from[2 * i + 1]);
  const float unit = unit_of_pair(word);
  const float2 integers = integers_of_pair(word);
  to[2 * i] = integers.x * unit;
  to[2 * i + 1] = integers.y * unit;
}

std::vector<float> decoded(const std::vector<float>& numbers) {
  const support::GpuQueue queue;
  const support::GpuArray<float> from(queue, numbers), to(queue, numbers.size());
  const auto num_pairs = static_cast<std::uint32_t>(numbers.size() / 2);
  const LaunchShape shape{.blocks = (num_pairs + 255) / 256, .num_threads = 256};
  queue.expect_ok(launch_in_order("pairs", encode_and_decode, shape, queue.get(),
                                  static_cast<const float*>(from.data()), to.data(), num_pairs));
  return to.host();
}

// From the exponents up to which 2^-126 is the unit.
TEST(PairedFloats, AreClose) {
  support::Random random(1);
  std::vector<float> numbers;
  for (int exponent = -140; exponent < 127; ++exponent) {
    for (int i = 0; i < 64; ++i) {
      for (int half = 0; half < 2; ++half) {
        const int own = exponent - (i % 8 == half ? static_cast<int>(random.below(14)) : 0);
        numbers.push_back(std::ldexp(random.uniform(-2.0F, 2.0F), own));
      }
    }
  }
  const std::vector<float> found = decoded(numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double larger = std::max(std::fabs(numbers[i]), std::fabs(numbers[i ^ 1]));
    const double allowed = std::max(larger * 0x1p-11, 0x1p-127);
    ASSERT_LE(std::fabs(static_cast<double>(found[i]) - numbers[i]), allowed)
        << numbers[i] << " beside " << numbers[i ^ 1];
  }
}

TEST(PairedFloats, IntegersAreExact) {
  std::vector<float> numbers;
  for (int a = -2047; a <= 2047; ++a) {
    numbers.push_back(static_cast<float>(a));
    numbers.push_back(static_cast<float>(a * 37 % 2048));
  }
  EXPECT_EQ(decoded(numbers), numbers);
}

TEST(PairedFloats, WhatIsNotFiniteIsSeen) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    for (const float number : decoded({bad, 1.0F, 1.0F, bad})) EXPECT_TRUE(std::isnan(number));
  }
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
