// Attention against float64. The projections are identities and selections, so that the operands of the attention
// itself are known exactly: x holds the queries of all heads; keys and values are columns of it.
#include "layers/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "support/prepared.h"

namespace nvfp4::layers {
namespace {

using support::OwnContext;
using support::Random;

constexpr std::uint32_t kSlots = KvCache::kBlockTokens;
constexpr double kTheta = 100.0;

struct Heads {
  std::uint32_t num_heads = 4;
  std::uint32_t num_kv_heads = 2;
  std::uint32_t head_dim = 16;
  std::uint32_t window = 0;
  bool q_k_norm = false;

  [[nodiscard]] std::uint32_t hidden() const { return num_heads * head_dim; }
  [[nodiscard]] std::uint32_t kv_size() const { return num_kv_heads * head_dim; }
  // Row r of Wk takes column r + 1 of x, row r of Wv column r + 2 (modulo hidden).
  [[nodiscard]] std::uint32_t k_column(std::uint32_t row) const { return (row + 1) % hidden(); }
  [[nodiscard]] std::uint32_t v_column(std::uint32_t row) const { return (row + 2) % hidden(); }
};

template <class ColumnOf>
Linear selection(std::uint32_t num_rows, std::uint32_t num_cols, ColumnOf column_of) {
  std::vector<float> values(std::size_t{num_rows} * num_cols, 0.0F);
  for (std::uint32_t row = 0; row < num_rows; ++row) values[std::size_t{row} * num_cols + column_of(row)] = 1.0F;
  return support::linear_layer(values, num_rows, num_cols);
}

std::vector<float> norm_weight(const Heads& heads) {
  std::vector<float> weight(heads.head_dim);
  for (std::uint32_t i = 0; i < heads.head_dim; ++i) weight[i] = 0.5F + 0.0625F * static_cast<float>(i);
  return weight;
}

Attention make(const Heads& heads) {
  const auto same = [](std::uint32_t row) { return row; };
  std::optional<RmsNorm> q_norm, k_norm;
  if (heads.q_k_norm) q_norm = k_norm = RmsNorm(norm_weight(heads), 1e-6F);
  const std::uint32_t hidden = heads.hidden();
  return {{heads.num_heads, heads.num_kv_heads, heads.head_dim, heads.window},
          selection(hidden, hidden, same),
          selection(heads.kv_size(), hidden, [&](std::uint32_t row) { return heads.k_column(row); }),
          selection(heads.kv_size(), hidden, [&](std::uint32_t row) { return heads.v_column(row); }),
          selection(hidden, hidden, same),
          q_norm,
          k_norm};
}

// Runs tokens [position, position + x.size() / hidden) of one sequence.
class Session {
 public:
  Session(const Heads& heads, KvType type, Precision precision, std::size_t num_workers = 2,
          std::uint32_t num_blocks = 5)
      : heads_(heads),
        attention_(make(heads)),
        rope_(heads.head_dim, kTheta, {}),
        cache_(KvCache::create({2, heads.num_kv_heads, heads.head_dim, {}, {}}, type, num_blocks + 3).value()),
        precision_(precision),
        num_workers_(num_workers) {
    for (std::uint32_t i = 0; i < num_blocks; ++i) blocks_.push_back((3 + 7 * i) % (num_blocks + 3));
  }

  std::vector<float> feed(std::span<const float> x) {
    const auto num_tokens = static_cast<std::uint32_t>(x.size() / heads_.hidden());
    const std::vector<TokenId> tokens(num_tokens, 0);
    const SequenceSlice slice{0, num_tokens, position_, blocks_};
    std::vector<float> y(x.size());
    const std::size_t num_bytes = attention_.workspace_bytes(num_tokens, num_workers_);
    const OwnContext context(precision_, num_workers_, num_bytes);
    const StepBatch batch{tokens, {&slice, 1}, {}};
    std::vector<float> angles(std::size_t{num_tokens} * heads_.head_dim);
    rope_.angles(batch, angles, context);
    attention_.run(x, batch, angles, 1, cache_, y, context);
    EXPECT_LE(context.peak_bytes(), num_bytes);
    position_ += num_tokens;
    return y;
  }

 private:
  Heads heads_;
  Attention attention_;
  Rope rope_;
  KvCache cache_;
  Precision precision_;
  std::size_t num_workers_;
  std::vector<std::uint32_t> blocks_;  // out of order
  std::uint32_t position_ = 0;
};

using Vector = std::vector<double>;

Vector rotated(const Heads& heads, Vector head, std::uint32_t position) {
  const std::uint32_t half = heads.head_dim / 2;
  for (std::uint32_t i = 0; i < half; ++i) {
    const double angle = position * std::pow(kTheta, -2.0 * i / heads.head_dim);
    const double a = head[i];
    const double b = head[i + half];
    head[i] = a * std::cos(angle) - b * std::sin(angle);
    head[i + half] = b * std::cos(angle) + a * std::sin(angle);
  }
  return head;
}

Vector normed(const Heads& heads, Vector head) {
  if (!heads.q_k_norm) return head;
  double sum = 0;
  for (const double value : head) sum += value * value;
  const double scale = 1 / std::sqrt(sum / heads.head_dim + double{1e-6F});
  const std::vector<float> weight = norm_weight(heads);
  for (std::uint32_t i = 0; i < heads.head_dim; ++i) head[i] *= scale * weight[i];
  return head;
}

template <class ColumnOf>
Vector head_of(const Heads& heads, std::span<const float> x, std::uint32_t token, std::uint32_t head, ColumnOf column) {
  Vector values(heads.head_dim);
  for (std::uint32_t i = 0; i < heads.head_dim; ++i) {
    values[i] = x[std::size_t{token} * heads.hidden() + column(head * heads.head_dim + i)];
  }
  return values;
}

struct Expected {
  Vector out;        // [head_dim]
  double max_score;  // largest |q| |k| / sqrt(head_dim), which bounds a score and the size of its terms
};

Expected naive(const Heads& heads, std::span<const float> x, std::uint32_t position, std::uint32_t head) {
  const std::uint32_t kv_head = head / (heads.num_heads / heads.num_kv_heads);
  const auto same = [](std::uint32_t column) { return column; };
  const Vector q = rotated(heads, normed(heads, head_of(heads, x, position, head, same)), position);
  const std::uint32_t first = heads.window != 0 && position + 1 > heads.window ? position + 1 - heads.window : 0;
  const auto length = [](const Vector& v) { return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0)); };
  Expected expected{Vector(heads.head_dim, 0.0), 0};
  double sum = 0;
  for (std::uint32_t t = first; t <= position; ++t) {
    const Vector raw = head_of(heads, x, t, kv_head, [&](std::uint32_t c) { return heads.k_column(c); });
    const Vector k = rotated(heads, normed(heads, raw), t);
    const Vector v = head_of(heads, x, t, kv_head, [&](std::uint32_t c) { return heads.v_column(c); });
    const double scale = 1 / std::sqrt(static_cast<double>(heads.head_dim));
    const double weight = std::exp(std::inner_product(q.begin(), q.end(), k.begin(), 0.0) * scale);
    expected.max_score = std::max(expected.max_score, length(q) * length(k) * scale);
    sum += weight;
    for (std::uint32_t i = 0; i < heads.head_dim; ++i) expected.out[i] += weight * v[i];
  }
  for (double& value : expected.out) value /= sum;
  return expected;
}

// A score carries, relative to |q| |k| / sqrt(d): the norms (6 each), the rotations (the angle in float32 up to
// position 80 is off by 80 u, its sine and cosine u, two products and a sum 2: 83 each), the sum (d), 2 for the
// scale. A weight is off by twice that (its own score and the largest), and each of the sums over n keys by n + 4 more.
double bound(const Heads& heads, double max_score, std::uint32_t num_keys, double max_value) {
  const double score = (12 + 2 * 83 + heads.head_dim + 2) * max_score;
  return (2 * score + 2 * (num_keys + 4.0)) * 0x1p-24 * max_value;
}

void expect_agrees(const Heads& heads, std::uint32_t num_tokens, std::span<const std::uint32_t> chunks) {
  Random random(num_tokens + heads.window + heads.head_dim);
  const std::vector<float> x = random.floats(std::size_t{num_tokens} * heads.hidden(), -2.0F, 2.0F);
  Session session(heads, KvType::kF32, Precision::kF32);
  std::vector<float> y;
  std::size_t at = 0;
  for (std::size_t i = 0; at < x.size(); ++i) {
    const std::size_t size =
        std::min<std::size_t>(std::size_t{chunks[i % chunks.size()]} * heads.hidden(), x.size() - at);
    const std::vector<float> part = session.feed(std::span(x).subspan(at, size));
    y.insert(y.end(), part.begin(), part.end());
    at += size;
  }
  for (std::uint32_t t = 0; t < num_tokens; ++t) {
    for (std::uint32_t head = 0; head < heads.num_heads; ++head) {
      const Expected expected = naive(heads, x, t, head);
      const double tolerance = bound(heads, expected.max_score, t + 1, 2.0);
      for (std::uint32_t i = 0; i < heads.head_dim; ++i) {
        ASSERT_NEAR(y[std::size_t{t} * heads.hidden() + head * heads.head_dim + i], expected.out[i], tolerance)
            << "position " << t << ", head " << head << ", window " << heads.window;
      }
    }
  }
}

constexpr std::uint32_t kAtOnce[] = {80};

TEST(Attention, QueryHeadsShareKeyValueHeadsInEveryRatio) {
  for (const std::uint32_t num_kv_heads : {8U, 4U, 2U, 1U}) expect_agrees({8, num_kv_heads, 16}, 21, kAtOnce);
  expect_agrees({6, 2, 16}, 9, kAtOnce);
  expect_agrees({1, 1, 64}, 18, kAtOnce);
}

TEST(Attention, HeadsOfEverySize) {
  for (const std::uint32_t head_dim : {2U, 6U, 20U, 64U, 128U}) expect_agrees({2, 1, head_dim}, 19, kAtOnce);
}

TEST(Attention, NormsQueriesAndKeysPerHead) {
  Heads heads;
  heads.q_k_norm = true;
  expect_agrees(heads, 20, kAtOnce);
}

// The first positions, and windows that begin and end at, before and behind the border of a cache block.
TEST(Attention, WindowsCutExactlyAtEveryPosition) {
  for (const std::uint32_t window :
       {1U, 2U, kSlots - 1, kSlots, kSlots + 1, 2 * kSlots - 1, 2 * kSlots, 2 * kSlots + 1}) {
    expect_agrees({2, 1, 16, window}, 3 * kSlots + 2, kAtOnce);
  }
}

TEST(Attention, ChunksSeeThePastInTheCache) {
  const std::uint32_t chunks[] = {1, 15, 2, 16, 7};
  expect_agrees({4, 2, 16}, 60, chunks);
  expect_agrees({4, 2, 16, 17}, 60, chunks);
  Random random(1);
  const Heads heads;
  const std::vector<float> x = random.floats(std::size_t{50} * heads.hidden(), -2.0F, 2.0F);
  for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kFp8}) {
    const std::vector<float> whole = Session(heads, type, Precision::kBF16).feed(x);
    EXPECT_EQ(Session(heads, type, Precision::kBF16, 1).feed(x), whole) << "one worker";
    EXPECT_EQ(Session(heads, type, Precision::kBF16, 7).feed(x), whole) << "seven workers";
    Session session(heads, type, Precision::kBF16);
    for (std::size_t t = 0; t < 50; ++t) {
      const std::vector<float> y = session.feed(std::span(x).subspan(t * heads.hidden(), heads.hidden()));
      EXPECT_TRUE(std::equal(y.begin(), y.end(), whole.begin() + static_cast<std::ptrdiff_t>(t * heads.hidden())))
          << "position " << t << ", " << kv_type_name(type);
    }
  }
}

// Few tokens with a long past: workers share out its chunks. Many tokens: each worker takes some.
TEST(Attention, WhoeverComputesALongContextTheBitsAreTheSame) {
  constexpr std::uint32_t kTokens = 1100;
  for (const std::uint32_t window : {0U, 700U}) {
    const Heads heads{4, 2, 16, window};
    Random random(5);
    const std::vector<float> x = random.floats(std::size_t{kTokens} * heads.hidden(), -2.0F, 2.0F);
    const std::vector<float> whole = Session(heads, KvType::kBF16, Precision::kBF16, 1, 70).feed(x);
    for (const std::size_t num_workers : {1U, 2U, 7U}) {
      Session session(heads, KvType::kBF16, Precision::kBF16, num_workers, 70);
      std::vector<float> y;
      std::uint32_t at = 0;
      for (const std::uint32_t count : {600U, 480U, 1U, 1U, 17U, 1U}) {
        const std::vector<float> part =
            session.feed(std::span(x).subspan(std::size_t{at} * heads.hidden(), std::size_t{count} * heads.hidden()));
        y.insert(y.end(), part.begin(), part.end());
        at += count;
      }
      EXPECT_EQ(y, whole) << num_workers << " workers, window " << window;
    }
  }
}

// One token sees itself alone: its own value, whatever its score.
TEST(Attention, TheFirstPositionIsItsOwnValue) {
  const Heads heads;
  for (const float size : {1.0F, 100.0F}) {
    Random random(2);
    const std::vector<float> x = random.floats(heads.hidden(), -size, size);
    const std::vector<float> y = Session(heads, KvType::kF32, Precision::kF32).feed(x);
    for (std::uint32_t i = 0; i < heads.hidden(); ++i) {
      const std::uint32_t kv_row = i / heads.head_dim / 2 * heads.head_dim + i % heads.head_dim;
      EXPECT_EQ(y[i], x[heads.v_column(kv_row)]);
    }
  }
}

// Scores far beyond exp()'s range: nothing overflows, and the output stays between the values.
TEST(Attention, LargeScoresStayAMeanOfTheValues) {
  const Heads heads{1, 1, 16};
  Random random(4);
  const std::vector<float> x = random.floats(std::size_t{40} * heads.hidden(), -1000.0F, 1000.0F);
  for (const float value : Session(heads, KvType::kF32, Precision::kF32).feed(x)) EXPECT_LE(std::fabs(value), 1000.1F);
}

TEST(Attention, NaNReachesOnlyWhoSeesIt) {
  const Heads heads{2, 1, 16, 8};
  Random random(3);
  std::vector<float> x = random.floats(std::size_t{40} * heads.hidden(), -2.0F, 2.0F);
  const std::vector<float> clean = Session(heads, KvType::kF32, Precision::kF32).feed(x);
  for (std::uint32_t i = 0; i < heads.hidden(); ++i) x[std::size_t{17} * heads.hidden() + i] = NAN;
  const std::vector<float> y = Session(heads, KvType::kF32, Precision::kF32).feed(x);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t t = i / heads.hidden();
    if (t >= 17 && t < 17 + 8) {
      EXPECT_TRUE(std::isnan(y[i])) << t;
    } else {
      EXPECT_EQ(y[i], clean[i]) << t;
    }
  }
}

}  // namespace
}  // namespace nvfp4::layers
