#include "plan/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

namespace nvfp4::plan {
namespace {

using testing::HasSubstr;

Layer layer_of(const std::string& line) { return *parse_layer(line, "test"); }
Layer shard(const std::string& line, std::uint32_t tp, std::uint32_t ep = 1) {
  const auto out = shard_of(layer_of(line), {tp, ep});
  EXPECT_TRUE(out) << (out ? "" : out.error().to_string());
  return out ? *out : Layer();
}

// Sizes of published experts, and what is left of them on two ranks.
class Intermediate : public testing::TestWithParam<std::tuple<std::uint64_t, std::uint32_t>> {};

TEST_P(Intermediate, PiecesTileTheWholeAtGroupsOf16) {
  const auto [size, ranks] = GetParam();
  std::uint64_t end = 0;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    const Piece piece = piece_of(size, 16, ranks, rank);
    EXPECT_EQ(piece.begin, end);
    EXPECT_GT(piece.end, piece.begin);
    EXPECT_EQ(piece.begin % 16, 0U);
    EXPECT_EQ(piece.padded % 16, 0U);
    EXPECT_GE(piece.padded, piece.end - piece.begin);
    EXPECT_LT(piece.padded, piece.end - piece.begin + 32);
    EXPECT_EQ(piece.padded, piece_of(size, 16, ranks, 0).padded);
    end = piece.end;
  }
  EXPECT_EQ(end, size);
}
INSTANTIATE_TEST_SUITE_P(All, Intermediate,
                         testing::Combine(testing::Values(1856, 704, 640, 352, 768, 512, 2688),
                                          testing::Values(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U)));

// Fact 8: gate and up are padded each for itself.
TEST(Shard, ExpertsAreCutInTheirIntermediateSize) {
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i704/e8/k2", 2).out_features, 352U);
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i1856/e8/k2", 8).out_features, 240U);
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i352/e8/k2", 8).out_features, 48U);
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i704/e8/k2", 2).in_features, 2048U);
}

TEST(Shard, RowsAndColumns) {
  EXPECT_EQ(shard("1 mlp.up_proj linear/w4a4/n1856/k2688", 4).out_features, 464U);
  EXPECT_EQ(shard("1 mlp.up_proj linear/w4a4/n1856/k2688", 4).in_features, 2688U);
  EXPECT_EQ(shard("1 mlp.down_proj linear/w4a4/n2688/k1856", 8).in_features, 240U);
  EXPECT_EQ(shard("1 mlp.down_proj linear/w4a4/n2688/k1856", 8).out_features, 2688U);
  EXPECT_EQ(shard("1 mlp.gate linear/bf16/n128/k2048", 8).out_features, 128U);
}

TEST(Shard, BlocksOf32AreNotDivided) {
  EXPECT_EQ(shard("1 mlp.down_proj linear/w4a16/n64/k352/block32", 2).in_features, 192U);
}

TEST(Shard, FewHeadsStayWholeOnSeveralRanks) {
  Layer keys = layer_of("1 self_attn.k_proj linear/w4a4/n512/k2048");
  keys.row_unit = 128;
  EXPECT_EQ(shard_of(keys, {4, 1})->out_features, 128U);
  EXPECT_EQ(shard_of(keys, {8, 1})->out_features, 128U);
}

TEST(Shard, ExpertsAreShared) {
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8", 1, 8).num_experts, 16U);
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i768/e60/k8", 1, 8).num_experts, 8U);
  EXPECT_EQ(shard("1 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8", 2, 4).out_features, 384U);
  EXPECT_EQ(shard("1 mlp.up_proj linear/w4a4/n1856/k2688", 1, 8).out_features, 1856U);
}

TEST(Shard, ARankWithoutWorkIsAnError) {
  const auto columns = shard_of(layer_of("1 mlp.down_proj linear/w4a4/n2688/k64"), {8, 1});
  ASSERT_FALSE(columns);
  EXPECT_THAT(columns.error().to_string(), HasSubstr("64 input features are 4 groups of 16; 8 ranks"));
  const auto experts = shard_of(layer_of("1 mlp.experts moe/w4a4/silu/h64/i64/e4/k2"), {1, 8});
  ASSERT_FALSE(experts);
  EXPECT_THAT(experts.error().to_string(), HasSubstr("4 experts"));
}

}  // namespace
}  // namespace nvfp4::plan
