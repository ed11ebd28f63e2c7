#include "layers/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "kernels/catalogue/row_catalogue.h"
#include "support/random_linear.h"

namespace nvfp4::layers {
namespace {

using support::Random;

constexpr std::uint32_t kLayers = 3;
constexpr std::uint32_t kHeads = 2;
constexpr std::uint32_t kDim = 5;  // no power of two
constexpr std::uint32_t kBlocks = 4;
constexpr std::uint32_t kSlots = KvCache::kBlockTokens;
const kernels::RowKernels& kRows = kernels::row_kernels(best_instruction_set());

KvShape shape_with_scales() { return {kLayers, kHeads, kDim, {0.5F, 0.013F, 2.0F}, {0.25F, 0.7F, 1.0F}}; }

class KvCacheTypes : public testing::TestWithParam<KvType> {
 protected:
  // What a value reads as.
  static float stored(float value, float scale) {
    switch (GetParam()) {
      case KvType::kF32:
        return value;
      case KvType::kBF16:
        return round_to_bf16(value);
      case KvType::kFp8:
        return decode_e4m3(encode_e4m3_saturating(value / scale)) * scale;
    }
    return 0;
  }
};

// Writes everything, then reads everything: no place is another's.
TEST_P(KvCacheTypes, EveryLayerBlockSlotAndHeadIsAPlaceOfItsOwn) {
  const KvShape shape = shape_with_scales();
  auto cache = KvCache::create(shape, GetParam(), kBlocks);
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ(cache->num_bytes(), KvCache::block_bytes(shape, GetParam()) * kBlocks);
  Random random(1);
  constexpr std::size_t kToken = kHeads * kDim;
  constexpr std::size_t kTokens = kLayers * kBlocks * kSlots;
  const std::vector<float> keys = random.floats(kTokens * kToken, -3.0F, 3.0F);
  const std::vector<float> values = random.floats(kTokens * kToken, -3.0F, 3.0F);
  const auto token = [&](std::uint32_t layer, std::uint32_t block, std::uint32_t slot) {
    return ((layer * kBlocks + block) * kSlots + slot) * kToken;
  };
  // Not in the order of memory.
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    for (std::uint32_t block = kBlocks; block-- > 0;) {
      for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
        const std::size_t at = token(layer, block, slot);
        cache->write(layer, block, slot, keys.data() + at, values.data() + at, kRows);
      }
    }
  }
  std::vector<float> k(kSlots * kDim), v(kSlots * kDim);
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    for (std::uint32_t block = 0; block < kBlocks; ++block) {
      for (std::uint32_t head = 0; head < kHeads; ++head) {
        cache->read_keys(layer, block, head, kSlots, k.data());
        cache->read_values(layer, block, head, kSlots, v.data());
        for (std::uint32_t i = 0; i < kSlots * kDim; ++i) {
          const std::size_t at = token(layer, block, i / kDim) + head * kDim + i % kDim;
          ASSERT_EQ(k[i], stored(keys[at], shape.k_scales[layer]));
          ASSERT_EQ(v[i], stored(values[at], shape.v_scales[layer]));
        }
      }
    }
  }
}

TEST_P(KvCacheTypes, ReadsOnlyTheSlotsAskedForAndOverwritesOnlyOne) {
  auto cache = KvCache::create({1, 1, kDim, {}, {}}, GetParam(), 1);
  ASSERT_TRUE(cache.ok());
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    const std::vector<float> token(kDim, static_cast<float>(slot + 1));
    cache->write(0, 0, slot, token.data(), token.data(), kRows);
  }
  const std::vector<float> hundred(kDim, 104.0F);  // a number of every type
  cache->write(0, 0, 6, hundred.data(), hundred.data(), kRows);
  std::vector<float> k(kSlots * kDim, -1.0F);
  cache->read_keys(0, 0, 0, 8, k.data());
  for (std::uint32_t i = 0; i < kSlots * kDim; ++i) {
    EXPECT_EQ(k[i], i / kDim >= 8 ? -1.0F : i / kDim == 6 ? 104.0F : static_cast<float>(i / kDim + 1));
  }
}

TEST_P(KvCacheTypes, NaNStaysNaN) {
  auto cache = KvCache::create({1, 1, 1, {}, {}}, GetParam(), 1);
  ASSERT_TRUE(cache.ok());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  cache->write(0, 0, 0, &nan, &nan, kRows);
  float read = 0;
  cache->read_keys(0, 0, 0, 1, &read);
  EXPECT_TRUE(std::isnan(read));
}

INSTANTIATE_TEST_SUITE_P(Types, KvCacheTypes, testing::Values(KvType::kF32, KvType::kBF16, KvType::kFp8),
                         [](const auto& type) { return std::string(kv_type_name(type.param)); });

TEST(KvCache, Fp8SaturatesAtItsScaleTimes448) {
  auto cache = KvCache::create({1, 1, 4, {0.5F}, {2.0F}}, KvType::kFp8, 1);
  ASSERT_TRUE(cache.ok());
  const std::vector<float> token = {1e6F, -1e6F, std::numeric_limits<float>::infinity(), 1e-9F};
  cache->write(0, 0, 0, token.data(), token.data(), kRows);
  std::vector<float> k(4), v(4);
  cache->read_keys(0, 0, 0, 1, k.data());
  cache->read_values(0, 0, 0, 1, v.data());
  EXPECT_EQ(k, (std::vector<float>{224.0F, -224.0F, 224.0F, 0.0F}));
  EXPECT_EQ(v, (std::vector<float>{896.0F, -896.0F, 896.0F, 0.0F}));
}

TEST(KvCache, WithoutScalesFp8KeepsItsOwnNumbers) {
  auto cache = KvCache::create({1, 1, 4, {}, {}}, KvType::kFp8, 1);
  ASSERT_TRUE(cache.ok());
  const std::vector<float> token = {1.0F, -0.8125F, 448.0F, 0x1p-9F};
  cache->write(0, 0, 3, token.data(), token.data(), kRows);
  std::vector<float> k(16);
  cache->read_values(0, 0, 0, 4, k.data());
  EXPECT_EQ(std::vector<float>(k.begin() + 12, k.end()), token);
}

TEST(KvCache, BlocksCostWhatTheTypeNeeds) {
  const KvShape shape{48, 4, 128, {}, {}};
  EXPECT_EQ(KvCache::block_bytes(shape, KvType::kBF16), 48U * 2 * 4 * 128 * 16 * 2);
  EXPECT_EQ(KvCache::block_bytes(shape, KvType::kFp8), 48U * 2 * 4 * 128 * 16);
  EXPECT_EQ(KvCache::block_bytes(shape, KvType::kF32), 48U * 2 * 4 * 128 * 16 * 4);
}

TEST(KvCache, TooLittleMemoryIsAnError) {
  const auto cache = KvCache::create({1U << 20, 1U << 10, 1U << 12, {}, {}}, KvType::kF32, 1U << 10);
  ASSERT_FALSE(cache.ok());
  EXPECT_THAT(cache.error().to_string(), testing::HasSubstr("smaller cache"));
}

}  // namespace
}  // namespace nvfp4::layers
