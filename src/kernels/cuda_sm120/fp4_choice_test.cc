#include "kernels/cuda_sm120/fp4_choice.h"

#include <gtest/gtest.h>

namespace nvfp4::kernels::cuda_sm120 {
namespace {

// Everything is computed, in memory that was asked for.
TEST(Fp4Choice, CoversTheLayer) {
  for (const std::uint32_t num_sms : {4U, 48U, 170U, 188U}) {
    for (const std::uint32_t out_features : {1U, 100U, 2048U, 25600U, 262144U}) {
      for (const std::uint32_t in_features : {16U, 1040U, 8192U, 32768U}) {
        for (const bool batch_invariant : {false, true}) {
          const Fp4Layer layer{out_features, in_features, num_sms, batch_invariant};
          const Fp4Needs needs = fp4_needs(layer, 700);
          for (const std::uint32_t num_tokens : {1U, 8U, 9U, 33U, 64U, 65U, 129U, 500U, 700U}) {
            const Fp4Choice choice = choose_fp4(layer, num_tokens);
            const Fp4Shape& shape = choice.shape();
            const std::uint32_t row_tiles = (out_features + shape.rows() - 1) / shape.rows();
            const std::uint32_t token_tiles = (num_tokens + shape.tokens() - 1) / shape.tokens();
            EXPECT_EQ(choice.num_tiles, row_tiles * token_tiles);
            EXPECT_GE(choice.num_splits * choice.chunks_per_split * 256, in_features);
            EXPECT_LT((choice.num_splits - 1) * choice.chunks_per_split * 256, in_features);
            EXPECT_LE(choice.part_floats(), needs.part_floats);
            if (choice.num_splits == 1) continue;
            EXPECT_FALSE(batch_invariant);
            EXPECT_LE(choice.num_tiles, needs.num_arrivals);
          }
        }
      }
    }
  }
}

TEST(Fp4Choice, OneOrderOfSumsForAnyNumberOfTokens) {
  for (const std::uint32_t num_tokens : {1U, 8U, 30U, 100U, 4096U}) {
    const Fp4Choice choice = choose_fp4({4096, 4096, 170, true}, num_tokens);
    EXPECT_GE(choice.shape_idx, kFirstOrderedShape);
    EXPECT_EQ(choice.num_splits, 1U);
    EXPECT_GE(choose_expert_shape(num_tokens, 128, true), kFirstOrderedShape);
  }
  for (std::uint32_t i = kFirstOrderedShape; i < kFp4Shapes.size(); ++i) EXPECT_EQ(kFp4Shapes[i].depth_warps, 1U);
}

TEST(Fp4Choice, LargerTilesForMoreTokens) {
  const Fp4Layer layer{4096, 4096, 170, false};
  EXPECT_EQ(choose_fp4(layer, 1).shape_idx, 0U);
  EXPECT_EQ(choose_fp4(layer, 8).shape_idx, 0U);
  EXPECT_EQ(choose_fp4(layer, 4096).shape_idx, 3U);
  EXPECT_EQ(choose_expert_shape(8, 128, false), 0U);
  EXPECT_EQ(choose_expert_shape(8192, 128, false), 3U);
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm120
