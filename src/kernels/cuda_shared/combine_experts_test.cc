// The sum over a token's experts, bit for bit.
#include "kernels/cuda_shared/combine_experts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "support/emulated_size.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuQueue;

struct Inputs {
  std::vector<float> partial, weights, shared, shared_weights;
  std::vector<std::int32_t> row_of_pair;
};

std::vector<Bf16Bits> combine_on_host(std::uint32_t num_tokens, std::uint32_t top_k, std::uint32_t hidden,
                                      const Inputs& in) {
  std::vector<Bf16Bits> y;
  for (std::size_t t = 0; t < num_tokens; ++t) {
    for (std::size_t h = 0; h < hidden; ++h) {
      float sum = 0.0F;
      for (std::size_t pair = t * top_k; pair < (t + 1) * top_k; ++pair) {
        if (in.row_of_pair[pair] < 0) continue;
        const float weight = in.weights.empty() ? 1.0F : in.weights[pair];
        sum = std::fma(weight, in.partial[static_cast<std::size_t>(in.row_of_pair[pair]) * hidden + h], sum);
      }
      if (!in.shared.empty()) {
        sum = std::fma(in.shared_weights.empty() ? 1.0F : in.shared_weights[t], in.shared[t * hidden + h], sum);
      }
      y.push_back(encode_bf16(sum));
    }
  }
  return y;
}

TEST(CombineExperts, AddsInTheOrderOfTheSlots) {
  const GpuQueue queue;
  std::mt19937_64 random(1);
  std::uniform_real_distribution<float> value(-3.0F, 3.0F);
  const auto floats = [&](std::size_t count) {
    std::vector<float> values(count);
    for (float& v : values) v = value(random);
    return values;
  };
  for (const std::uint32_t num_tokens : {1U, 3U, 64U, 257U}) {
    for (const std::uint32_t top_k : {1U, 6U, 8U, 9U, 22U, 32U}) {
      for (const std::uint32_t hidden : {16U, 128U, 144U, 2048U, 2688U}) {
        if (support::is_for_gpus_only(std::uint64_t{num_tokens} * top_k * hidden, 50000)) continue;
        const int shared = static_cast<int>(random() % 3);
        const std::size_t num_pairs = std::size_t{num_tokens} * top_k;
        Inputs in{floats(num_pairs * hidden), {}, {}, {}, std::vector<std::int32_t>(num_pairs)};
        if (random() % 4 != 0) in.weights = floats(num_pairs);
        if (shared != 0) in.shared = floats(std::size_t{num_tokens} * hidden);
        if (shared == 2) in.shared_weights = floats(num_tokens);
        for (std::int32_t& row : in.row_of_pair) {
          row = random() % 8 == 0 ? -1 : static_cast<std::int32_t>(random() % num_pairs);
        }
        const GpuArray<float> partial(queue, in.partial), weights(queue, in.weights), of_shared(queue, in.shared),
            shared_weights(queue, in.shared_weights);
        const GpuArray<std::int32_t> row_of_pair(queue, in.row_of_pair);
        const GpuArray<Bf16Bits> y(queue, std::size_t{num_tokens} * hidden);
        CombineExperts combine{num_tokens, top_k, hidden, partial.data(), row_of_pair.data()};
        if (!in.weights.empty()) combine.router_weights = weights.data();
        if (shared != 0) combine.shared = of_shared.data();
        if (shared == 2) combine.shared_weights = shared_weights.data();
        combine.y = y.data();
        queue.expect_ok(combine_experts(combine, queue.get()));
        ASSERT_TRUE(y.host() == combine_on_host(num_tokens, top_k, hidden, in))
            << num_tokens << " tokens, " << top_k << " slots, hidden " << hidden << ", shared " << shared;
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
