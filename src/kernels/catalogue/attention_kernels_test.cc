// Attention of every instruction set against float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "kernels/catalogue/row_catalogue.h"
#include "support/random_linear.h"

namespace nvfp4::kernels {
namespace {

using support::Random;

constexpr double kUnit = 0x1p-24;
constexpr float kKeyScale = 0.02F;
constexpr float kValueScale = 0.03F;

struct Shape {
  KvElement element = KvElement::kBF16;
  std::uint32_t head_dim = 128;
  std::uint32_t group = 8;
  std::uint32_t first_position = 0;
  std::uint32_t num_tokens = 1;
  std::uint32_t window = 0;
};

// One key-value head with random numbers; what no token may see is NaN.
class Problem {
 public:
  explicit Problem(const Shape& shape) : shape_(shape) {
    Random random(shape.head_dim + shape.first_position);
    const std::uint32_t last = shape.first_position + shape.num_tokens;
    const std::uint32_t num_blocks = (last + kKvBlockTokens - 1) / kKvBlockTokens;
    padded_ = (shape.head_dim + 1) / 2 * 2;
    stride_ = std::size_t{2} * kKvBlockTokens * padded_ * bytes();
    cache_.assign(stride_ * num_blocks, std::byte{0xff});  // NaN in every type
    keys_ = values_of(random, last);
    values_ = values_of(random, last);
    for (std::uint32_t block = 0; block < num_blocks; ++block) blocks_.push_back(num_blocks - 1 - block);
    for (std::uint32_t position = 0; position < last; ++position) store(position);
    q_ = random.floats(std::size_t{shape.num_tokens} * stride(), -2.0F, 2.0F);
  }

  // In tiles of at most tile_tokens, chunk after chunk.
  [[nodiscard]] std::vector<float> run(const RowKernels& kernels, std::uint32_t tile_tokens, Rounding rounding) const {
    std::vector<float> out(q_.size());
    for (std::uint32_t first = 0; first < shape_.num_tokens; first += tile_tokens) {
      const std::uint32_t count = std::min(tile_tokens, shape_.num_tokens - first);
      const std::size_t num_rows = std::size_t{count} * shape_.group;
      // Filled with NaN: nothing may be read that was not written.
      const float nan = std::numeric_limits<float>::quiet_NaN();
      std::vector<float> part(attention_part_floats(num_rows, shape_.head_dim), nan);
      std::vector<float> scratch(attention_scratch_floats(num_rows, shape_.head_dim), nan);
      const AttentionTile tile = tile_at(first, count, out);
      const std::uint32_t end = tile.first_position + count;
      for (std::uint32_t begin = 0; begin < end; begin += kAttentionChunk) {
        std::vector<float> next(part.size(), nan);
        kernels.attend(tile, begin, next.data(), scratch.data());
        kernels.merge(tile, begin, next.data(), part.data());
      }
      kernels.finish(tile, part.data(), rounding);
    }
    return out;
  }

  // A score's chain of products and its scales are off by head_dim + 5 roundings of |q| |k|; a weight by that twice
  // (its own and the largest) and by 3; the sums over n keys and their shrinking by n + 16 roundings each.
  void expect_near(const std::vector<float>& out) const {
    for (std::uint32_t t = 0; t < shape_.num_tokens; ++t) {
      const std::uint32_t end = shape_.first_position + t + 1;
      const std::uint32_t begin = shape_.window != 0 && end > shape_.window ? end - shape_.window : 0;
      for (std::uint32_t head = 0; head < shape_.group; ++head) {
        const std::size_t at = t * stride() + std::size_t{head} * shape_.head_dim;
        const Mean mean = mean_of(q_.data() + at, begin, end);
        const double weight = 2 * (shape_.head_dim + 5) * mean.largest_sum + 3;
        const double bound = (2 * weight + 2 * (end - begin + 16.0)) * kUnit * 2.0;
        for (std::uint32_t d = 0; d < shape_.head_dim; ++d) ASSERT_NEAR(out[at + d], mean.values[d], bound) << t;
      }
    }
  }

 private:
  struct Mean {
    std::vector<double> values;
    double largest_sum;  // of |q| |k| score_scale
  };

  [[nodiscard]] std::size_t stride() const { return std::size_t{shape_.group} * shape_.head_dim + 3; }
  [[nodiscard]] std::size_t bytes() const {
    return shape_.element == KvElement::kF32 ? 4 : shape_.element == KvElement::kBF16 ? 2 : 1;
  }
  [[nodiscard]] float score_scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)); }

  // Numbers that the cache can hold; FP8: of codes, up to 2 / scale.
  [[nodiscard]] std::vector<float> values_of(Random& random, std::uint32_t num_tokens) const {
    std::vector<float> values = random.floats(std::size_t{num_tokens} * shape_.head_dim, -2.0F, 2.0F);
    for (float& value : values) {
      if (shape_.element == KvElement::kBF16) value = round_to_bf16(value);
      if (shape_.element == KvElement::kFp8) value = decode_e4m3(encode_e4m3_saturating(value * 32));
    }
    return values;
  }

  void put(std::size_t offset, float value) {
    const std::uint16_t half = encode_bf16(value);
    const std::uint8_t byte = encode_e4m3_saturating(value);
    const void* const from = shape_.element == KvElement::kF32    ? static_cast<const void*>(&value)
                             : shape_.element == KvElement::kBF16 ? static_cast<const void*>(&half)
                                                                  : &byte;
    std::memcpy(cache_.data() + offset, from, bytes());
  }

  void store(std::uint32_t position) {
    const std::size_t block = blocks_[position / kKvBlockTokens] * stride_;
    const std::uint32_t slot = position % kKvBlockTokens;
    for (std::uint32_t d = 0; d < shape_.head_dim; ++d) {
      const std::size_t from = std::size_t{position} * shape_.head_dim + d;
      const std::size_t key = shape_.element == KvElement::kF32 ? std::size_t{d} * kKvBlockTokens + slot
                                                                : (d / 2 * kKvBlockTokens + slot) * 2 + d % 2;
      put(block + key * bytes(), keys_[from]);
      put(block + stride_ / 2 + (std::size_t{slot} * shape_.head_dim + d) * bytes(), values_[from]);
    }
  }

  [[nodiscard]] AttentionTile tile_at(std::uint32_t first, std::uint32_t count, std::vector<float>& out) const {
    AttentionTile tile;
    tile.element = shape_.element;
    tile.head_dim = shape_.head_dim;
    tile.group = shape_.group;
    tile.num_tokens = count;
    tile.first_position = shape_.first_position + first;
    tile.window = shape_.window;
    tile.keys = cache_.data();
    tile.values = cache_.data() + stride_ / 2;
    tile.block_stride_bytes = stride_;
    tile.blocks = blocks_.data();
    tile.key_scale = kKeyScale;
    tile.value_scale = kValueScale;
    tile.score_scale = score_scale();
    tile.q = q_.data() + first * stride();
    tile.out = out.data() + first * stride();
    tile.token_stride = stride();
    return tile;
  }

  [[nodiscard]] Mean mean_of(const float* q, std::uint32_t begin, std::uint32_t end) const {
    const bool scaled = shape_.element == KvElement::kFp8;
    const double key_scale = double{score_scale()} * (scaled ? kKeyScale : 1);
    std::vector<double> scores;
    Mean mean{std::vector<double>(shape_.head_dim), 0};
    for (std::uint32_t p = begin; p < end; ++p) {
      double score = 0;
      double sum = 0;
      for (std::uint32_t d = 0; d < shape_.head_dim; ++d) {
        const double product = double{q[d]} * keys_[std::size_t{p} * shape_.head_dim + d] * key_scale;
        score += product;
        sum += std::fabs(product);
      }
      scores.push_back(score);
      mean.largest_sum = std::max(mean.largest_sum, sum);
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (const double score : scores) sum += std::exp(score - largest);
    for (std::uint32_t p = begin; p < end; ++p) {
      const double weight = std::exp(scores[p - begin] - largest) / sum * (scaled ? kValueScale : 1);
      for (std::uint32_t d = 0; d < shape_.head_dim; ++d) {
        mean.values[d] += weight * values_[std::size_t{p} * shape_.head_dim + d];
      }
    }
    return mean;
  }

  Shape shape_;
  std::size_t padded_ = 0;
  std::size_t stride_ = 0;
  std::vector<std::byte> cache_;
  std::vector<float> keys_, values_, q_;
  std::vector<std::uint32_t> blocks_;
};

class AttentionKernels : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!runs_here(GetParam())) GTEST_SKIP() << "this processor has no " << instruction_set_name(GetParam());
  }
  const RowKernels& rows_ = row_kernels(GetParam());

  // Near the truth, and the same bits for a token alone, in tiles of any size, and with every set of vectors.
  void expect_agrees(const Shape& shape) {
    const Problem problem(shape);
    const std::vector<float> out = problem.run(rows_, shape.num_tokens, Rounding::kNone);
    problem.expect_near(out);
    EXPECT_EQ(problem.run(rows_, 1, Rounding::kNone), out);
    EXPECT_EQ(problem.run(rows_, 3, Rounding::kNone), out);
    std::vector<float> rounded = out;
    loops_.round_to_bf16(rounded.data(), rounded.size());
    EXPECT_EQ(problem.run(rows_, 2, Rounding::kBF16), rounded);
    if (GetParam() == InstructionSet::kAvx512) {
      const RowKernels& half = row_kernels(InstructionSet::kAvx2);
      EXPECT_EQ(problem.run(half, shape.num_tokens, Rounding::kNone), out) << "AVX2";
    }
  }

  const RowKernels& loops_ = row_kernels(InstructionSet::kPortable);
};

constexpr KvElement kElements[] = {KvElement::kF32, KvElement::kBF16, KvElement::kFp8};

TEST_P(AttentionKernels, HeadsOfEverySizeInEveryType) {
  for (const KvElement element : kElements) {
    for (const std::uint32_t head_dim : {1U, 2U, 5U, 16U, 20U, 64U, 80U, 96U, 112U, 128U, 256U}) {
      SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(element) << ", head_dim " << head_dim);
      expect_agrees({element, head_dim, 2, 0, 5});
      expect_agrees({element, head_dim, 2, 75, 4});
    }
  }
}

TEST_P(AttentionKernels, GroupsOfEverySize) {
  for (std::uint32_t group = 1; group <= 17; ++group) {
    SCOPED_TRACE(group);
    expect_agrees({KvElement::kBF16, 32, group, 60, 9});
  }
}

// Borders of blocks, steps and chunks.
TEST_P(AttentionKernels, EveryPosition) {
  for (const KvElement element : kElements) expect_agrees({element, 32, 1, 0, 150});
  for (const std::uint32_t position : {500U, 1020U, 1500U}) {
    expect_agrees({KvElement::kBF16, 64, 4, position, 30});
  }
}

TEST_P(AttentionKernels, WindowsOfEverySize) {
  for (const std::uint32_t window : {1U, 2U, 15U, 16U, 17U, 63U, 64U, 65U, 128U, 511U, 512U, 513U}) {
    SCOPED_TRACE(window);
    expect_agrees({KvElement::kBF16, 16, 3, 0, 40, window});
    expect_agrees({KvElement::kBF16, 16, 3, 1010, 40, window});
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, AttentionKernels,
                         testing::Values(InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512),
                         [](const auto& set) { return std::string(instruction_set_name(set.param)); });

}  // namespace
}  // namespace nvfp4::kernels
