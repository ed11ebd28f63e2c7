// Dense NVFP4 layers of any number of tokens against the float64 reference.
#include "kernels/cuda_sm80/linear_nvfp4_bf16_mma.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "formats/bf16.h"
#include "kernels/cuda_sm80/fragment_choice.h"
#include "support/emulated_size.h"
#include "support/gpu_linear.h"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

using support::GpuLinear;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::RandomLinear;

LinearSpec spec_of(std::uint64_t out_features, std::uint64_t in_features) {
  LinearSpec spec;
  spec.format = WeightFormat::kNvfp4;
  spec.out_features = out_features;
  spec.in_features = in_features;
  return spec;
}

std::vector<Bf16Bits> uniform_x(std::size_t count, Random& random) {
  std::vector<Bf16Bits> x(count);
  for (Bf16Bits& value : x) value = encode_bf16(random.uniform(-4.0F, 4.0F));
  return x;
}

// (Each call twice, for the same bits.) Around the edges of all tiles; rows, columns and parts of K that are missing to
// whole ones.
TEST(LinearMma, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL},
                                {17ULL, 48ULL},
                                {40ULL, 1040ULL},
                                {200ULL, 208ULL},
                                {333ULL, 1040ULL},
                                {640ULL, 2048ULL},
                                {3000ULL, 144ULL},
                                {100ULL, 5120ULL},
                                {9000ULL, 528ULL}}) {
    for (const std::uint32_t num_tokens : {1U, 8U, 9U, 16U, 17U, 33U, 64U, 65U, 130U, 257U}) {
      if (out * in * num_tokens > 100000000) continue;  // of the reference
      if (support::is_for_gpus_only(out * in * num_tokens, 1000000)) continue;
      LinearSpec spec = spec_of(out, in);
      spec.num_shards = num_tokens % 3 == 0 ? 1 : 3;
      spec.bias = num_tokens % 2 == 0;
      support::expect_linear_close(queue, linear_nvfp4_bf16_mma(), spec, num_tokens, random);
    }
  }
}

// The largest shapes, for which other cases here leave too many multiprocessors without work; more tiles of K than
// stages.
TEST(LinearMma, LargeTilesMatchTheReference) {
  const GpuQueue queue;
  Random random(6);
  for (const auto& [out, in, num_tokens] : {std::tuple{70ULL, 272ULL, 70U}, {141ULL, 400ULL, 65U}}) {
    LinearSpec spec = spec_of(out, in);
    spec.num_shards = 3;
    support::expect_linear_close(queue, linear_nvfp4_bf16_mma(), spec, num_tokens, random, 1);
  }
}

TEST(LinearMma, RoundsActivations) {
  const GpuQueue queue;
  Random random(2);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t num_tokens : {3U, 11U, support::kIsEmulated ? 70U : 150U}) {
        LinearSpec spec = spec_of(support::kIsEmulated ? 40 : 150, support::kIsEmulated ? 208 : 720);
        spec.activation = activation;
        spec.input_rule = rule;
        spec.pre_quant_scale = num_tokens == 11 || activation == Activation::k16Bit;
        support::expect_linear_close(queue, linear_nvfp4_bf16_mma(), spec, num_tokens, random);
      }
    }
  }
}

// Small integers under scales that are powers of two: every sum is exact, in any order.
TEST(LinearMma, ComputesExactNumbersExactly) {
  const GpuQueue queue;
  Random random(3);
  for (const std::uint32_t num_tokens : {5U, 14U, 30U, 70U, 140U}) {
    RandomLinear linear(spec_of(support::kIsEmulated ? 50 : 1000, support::kIsEmulated ? 272 : 2064), random);
    for (std::uint8_t& scale : linear.block_scales) scale = static_cast<std::uint8_t>(0x30 + 8 * random.below(3));
    for (float& scale : linear.scale2) scale = 0.5F;
    std::vector<Bf16Bits> x(num_tokens * linear.spec.in_features);
    std::vector<float> x_f32;
    for (Bf16Bits& value : x) {
      x_f32.push_back(decode_bf16(value = encode_bf16(static_cast<float>(random.below(9)) - 4.0F)));
    }
    LinearArgs args;
    args.x = x_f32.data();
    args.num_rows = num_tokens;
    const std::vector<double> expected = reference::linear(linear.view(), Activation::k16Bit, args);
    const std::vector<float> y = GpuLinear(queue, linear, linear_nvfp4_bf16_mma()).run<float>(x, num_tokens);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], static_cast<float>(expected[i])) << num_tokens;
  }
}

TEST(LinearMma, ATokensBitsDoNotDependOnOthers) {
  const GpuQueue queue;
  Random random(5);
  const std::uint32_t out_features = support::kIsEmulated ? 70 : 1000;
  const RandomLinear linear(spec_of(out_features, support::kIsEmulated ? 272 : 2048), random);
  const GpuLinear gpu(queue, linear, linear_nvfp4_bf16_mma(), true);
  const std::vector<Bf16Bits> x = uniform_x(300 * linear.spec.in_features, random);
  const std::uint32_t most = support::kIsEmulated ? 140 : 300;
  const std::vector<float> together = gpu.run<float>({x.begin(), x.begin() + most * linear.spec.in_features}, most);
  for (const auto& [first, count] : {std::pair{0U, 1U}, {5U, 9U}, {64U, 40U}, {most - 70, 70U}}) {
    const auto from = x.begin() + static_cast<std::ptrdiff_t>(first * linear.spec.in_features);
    const auto end = from + static_cast<std::ptrdiff_t>(count * linear.spec.in_features);
    const std::vector<float> alone = gpu.run<float>({from, end}, count);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + std::size_t{first} * out_features)) << first;
  }
}

// Every shape serves some number of tokens; parts of K take memory that was asked for.
TEST(LinearMmaChoice, CoversTheLayer) {
  for (const std::uint32_t shared_bytes : {101376U, 166912U, 232448U}) {
    std::vector<bool> is_used(kNumLinearShapes);
    bool has_spans = false;
    for (const std::uint32_t out_features : {1U, 100U, 2048U, 4096U, 25600U, 262144U}) {
      for (const std::uint32_t in_features : {16U, 1040U, 8192U}) {
        for (const bool batch_invariant : {false, true}) {
          const TileLayer layer{out_features, in_features,         0.5625,         100,
                                shared_bytes, shared_bytes + 1024, batch_invariant};
          const TileNeeds needs = fragment_needs(layer, 1000);
          for (const std::uint32_t num_tokens : {1U, 8U, 9U, 16U, 17U, 33U, 150U, 512U, 1000U}) {
            const TileChoice choice = choose_fragments(layer, num_tokens);
            const FragmentShape& shape = kFragmentShapes[choice.kind_idx];
            is_used[choice.kind_idx] = true;
            EXPECT_LE(shape.shared_bytes(), shared_bytes);
            EXPECT_GE(choice.row_tiles * shape.rows(), out_features);
            EXPECT_GE(choice.token_tiles * shape.tokens(), num_tokens);
            EXPECT_EQ(choice.steps, (in_features + kTileStepK - 1) / kTileStepK);
            EXPECT_TRUE(choice.span_tiles == 1 || choice.span_tiles == choice.num_tiles());
            EXPECT_LE(choice.num_splits, choice.span_steps());
            EXPECT_LE(fragment_shared_bytes(layer, choice), shared_bytes);
            EXPECT_GE(fragment_shared_bytes(layer, choice), shape.shared_bytes());
            EXPECT_FALSE(batch_invariant && shape.shares_k());
            if (!choice.has_parts()) continue;
            EXPECT_FALSE(batch_invariant || shape.shares_k());
            EXPECT_LE(choice.num_tiles(), needs.num_arrivals);
            EXPECT_LE(std::uint64_t{choice.num_blocks()} * choice.parts_per_block() * shape.rows() * shape.tokens(),
                      needs.part_floats);
            has_spans = has_spans || choice.span_tiles > 1;
          }
        }
      }
    }
    EXPECT_EQ(is_used, std::vector<bool>(kNumLinearShapes, true));
    EXPECT_TRUE(has_spans);
  }
}

// Shares cross the borders of tiles, and some have a whole one between two parts. How many multiprocessors it takes
// for such a choice depends on the device's memory.
TEST(LinearMma, EqualSharesMatchTheReference) {
  const GpuQueue queue;
  Random random(9);
  const DeviceCaps caps = GpuQueue::must(Device::open(0)).caps();
  bool has_spans = false;
  for (const auto& [out, in, num_tokens] : {std::tuple{141U, 784U, 65U}, {300U, 1040U, 130U}}) {
    if (support::is_for_gpus_only(std::uint64_t{out} * in * num_tokens, 10000000)) continue;
    for (const std::uint32_t num_sms : {2U, 4U}) {
      support::expect_linear_close(queue, linear_nvfp4_bf16_mma(), spec_of(out, in), num_tokens, random, num_sms);
      TileLayer layer{out, in, 0.5625, num_sms};
      layer.shared_bytes_per_block = static_cast<std::uint32_t>(caps.shared_bytes_per_block);
      layer.shared_bytes_per_sm = static_cast<std::uint32_t>(caps.shared_bytes_per_sm);
      has_spans = has_spans || choose_fragments(layer, num_tokens).span_tiles > 1;
    }
  }
  EXPECT_TRUE(has_spans);
}

// The next kernel's blocks find no room but where this one's evenly distributed ones are not.
TEST(LinearMmaChoice, SharedMemoryKeepsBlocksApart) {
  const TileLayer layer{8192, 8192, 0.5625, 132, 232448, 233472, true};
  const TileChoice choice = choose_fragments(layer, 64);
  const std::uint32_t even = (choice.num_blocks() + 131) / 132;
  const std::uint32_t shared_bytes = fragment_shared_bytes(layer, choice);
  EXPECT_LE(even * (shared_bytes + 1024), 233472U);
  EXPECT_GT((even + 1) * (shared_bytes + 1024), 233472U);
}

TEST(LinearMmaRefusal, SaysWhatIsNotPossible) {
  DeviceCaps caps;
  caps.num_sms = 108;
  caps.shared_bytes_per_block = 101376;
  DeviceLinearProblem problem;
  problem.out_features = 256;
  problem.in_features = 256;
  const auto refusal = linear_nvfp4_bf16_mma().refusal;
  for (const std::uint32_t sm : {80U, 86U, 89U, 90U, 120U, 121U}) {
    caps.sm = sm;
    EXPECT_EQ(refusal(problem, caps, 8192), "");
  }
  problem.in_features = 4096;
  EXPECT_NE(refusal(problem, caps, 0xFFFFFFFFU).find("more than one launch"), std::string::npos);
  problem.weight = WeightFormat::kFp8;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.weight = WeightFormat::kNvfp4;
  caps.sm = 75;
  EXPECT_NE(refusal(problem, caps, 1), "");
  caps.sm = 80;
  caps.shared_bytes_per_block = 49152;
  EXPECT_NE(refusal(problem, caps, 1).find("49152"), std::string::npos);
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm80
