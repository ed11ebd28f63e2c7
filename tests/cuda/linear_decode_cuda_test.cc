// The kernel for few tokens against the float64 reference.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "support/gpu_linear.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using support::GpuLinear;
using support::GpuQueue;
using support::LinearSpec;
using support::Random;
using support::RandomLinear;

void expect_close(const GpuQueue& queue, const LinearSpec& spec, std::uint32_t num_tokens, Random& random) {
  support::expect_linear_close(queue, linear_nvfp4_bf16_mma_bulk(), spec, num_tokens, random);
}

TEST(LinearDecode, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const auto& [out, in] : {std::pair{1ULL, 16ULL},
                                {17ULL, 48ULL},
                                {200ULL, 208ULL},
                                {5000ULL, 272ULL},
                                {333ULL, 1040ULL},
                                {640ULL, 2048ULL},
                                {100ULL, 5120ULL},
                                {70ULL, 9216ULL}}) {
    for (const std::uint32_t num_tokens : {1U, 2U, 7U, 8U, 9U, 16U, 17U, 40U, 64U}) {
      if (in > 6000 && num_tokens > 9) continue;
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.out_features = out;
      spec.in_features = in;
      spec.num_shards = num_tokens % 3 == 0 ? 1 : 3;
      spec.bias = num_tokens % 2 == 0;
      expect_close(queue, spec, num_tokens, random);
    }
  }
}

// More items of a block than it has slots for, and than it adds up at once.
TEST(LinearDecode, OneTokenReadsLongLists) {
  const GpuQueue queue;
  Random random(5);
  LinearSpec spec;
  spec.format = WeightFormat::kNvfp4;
  spec.out_features = 17500;
  spec.in_features = 5120;
  expect_close(queue, spec, 1, random);
}

TEST(LinearDecode, RoundsActivations) {
  const GpuQueue queue;
  Random random(2);
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const std::uint32_t num_tokens : {1U, 11U}) {
      LinearSpec spec;
      spec.format = WeightFormat::kNvfp4;
      spec.activation = activation;
      spec.out_features = 150;
      spec.in_features = 720;
      spec.pre_quant_scale = num_tokens == 11 || activation == Activation::k16Bit;
      expect_close(queue, spec, num_tokens, random);
    }
  }
}

TEST(LinearDecode, RefusesWhatItCannotDo) {
  DeviceCaps caps;
  caps.sm = 90;
  caps.num_sms = 132;
  caps.shared_bytes_per_block = 232448;
  caps.shared_bytes_per_sm = 233472;
  DeviceLinearProblem problem;
  problem.out_features = 256;
  problem.in_features = 256;
  const auto refusal = linear_nvfp4_bf16_mma_bulk().refusal;
  EXPECT_EQ(refusal(problem, caps, kMaxLinearDecodeTokens), "");
  EXPECT_NE(refusal(problem, caps, kMaxLinearDecodeTokens + 1), "");
  problem.batch_invariant = true;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.batch_invariant = false;
  problem.weight = WeightFormat::kFp8;
  EXPECT_NE(refusal(problem, caps, 1), "");
  problem.weight = WeightFormat::kNvfp4;
  caps.sm = 80;
  EXPECT_NE(refusal(problem, caps, 1), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
