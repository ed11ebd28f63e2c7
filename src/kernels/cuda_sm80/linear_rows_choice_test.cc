#include "kernels/cuda_sm80/linear_rows_choice.h"

#include <gtest/gtest.h>

namespace nvfp4::kernels::cuda_sm80 {
namespace {

// Everything is computed, by blocks that fit, in memory that was asked for.
TEST(LinearRowsChoice, CoversTheLayer) {
  for (const std::uint32_t shared_bytes : {101376U, 166912U, 232448U}) {
    for (const std::uint32_t weight_bytes : {1U, 2U}) {
      for (const std::uint32_t out_features : {1U, 16U, 100U, 2048U, 25600U, 262144U}) {
        for (const std::uint32_t in_features : {16U, 1040U, 8192U}) {
          for (const bool batch_invariant : {false, true}) {
            RowsLayer layer{out_features, in_features,         weight_bytes,   100,
                            shared_bytes, shared_bytes + 1024, batch_invariant};
            ASSERT_LE(least_rows_bytes(layer), layer.shared_bytes_per_block);
            const TileNeeds needs = rows_needs(layer, 1000);
            for (const std::uint32_t num_tokens : {1U, 8U, 9U, 16U, 17U, 33U, 150U, 512U, 999U, 1000U}) {
              const RowsChoice choice = choose_rows(layer, num_tokens);
              if (choice.is_few) {
                EXPECT_FALSE(batch_invariant);
                EXPECT_GE(choice.few.tokens(), num_tokens);
                EXPECT_LE(choice.few.shared_bytes(weight_bytes), shared_bytes);
                continue;
              }
              EXPECT_LE(choice.many().shared_bytes(weight_bytes), shared_bytes);
              const TileChoice& tiles = choice.tiles;
              TileKind kind{};
              kind.rows = choice.many().rows;
              kind.tokens = choice.many().tokens;
              EXPECT_GE(tiles.row_tiles * choice.many().rows, out_features);
              EXPECT_GE(tiles.token_tiles * choice.many().tokens, num_tokens);
              EXPECT_EQ(tiles.steps, (in_features + kManyStepK - 1) / kManyStepK);
              EXPECT_TRUE(tiles.span_tiles == 1 || tiles.span_tiles == tiles.num_tiles());
              EXPECT_LE(tiles.num_splits, tiles.span_steps());
              EXPECT_LE(many_shared_bytes(layer, tiles), shared_bytes);
              EXPECT_GE(many_shared_bytes(layer, tiles), choice.many().shared_bytes(weight_bytes));
              EXPECT_LE(tiles.part_floats(kind), needs.part_floats);
              if (!tiles.has_parts()) continue;
              EXPECT_FALSE(batch_invariant);
              EXPECT_LE(tiles.num_tiles(), needs.num_arrivals);
            }
          }
        }
      }
    }
  }
}

TEST(LinearRowsChoice, TooLittleSharedMemoryIsSeen) {
  EXPECT_GT(least_rows_bytes({256, 256, 1, 100, 49152, 50176, false}), 49152U);
  EXPECT_GT(least_rows_bytes({256, 256, 2, 100, 49152, 50176, false}), 49152U);
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm80
