#include "kernels/catalogue/embedding_catalogue.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/reference/linear.h"
#include "support/random_linear.h"

namespace nvfp4::kernels {
namespace {

using support::LinearSpec;
using support::Random;
using support::RandomLinear;

std::vector<LinearSpec> all_tables() {
  std::vector<LinearSpec> tables;
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16, WeightFormat::kFp8,
                                    WeightFormat::kNvfp4, WeightFormat::kNvfp4}) {
    LinearSpec spec;
    spec.format = format;
    spec.out_features = 57;
    spec.in_features = 96;
    tables.push_back(spec);
  }
  tables.back().block_size = 32;
  tables.back().num_shards = 3;
  LinearSpec per_row = tables[3];
  per_row.per_row_scale = true;
  tables.push_back(per_row);
  return tables;
}

class Embedding : public testing::TestWithParam<LinearSpec> {};

// An element times its scales fits float64, so the nearest float32 is the only right answer.
TEST_P(Embedding, GivesEveryRowRoundedOnce) {
  Random random(1);
  const RandomLinear table(GetParam(), random);
  const std::uint64_t hidden = GetParam().in_features;
  std::vector<TokenId> tokens(57);
  std::iota(tokens.begin(), tokens.end(), 0U);
  tokens.insert(tokens.end(), {56, 0, 0, 13});  // twice and out of order
  for (const std::size_t num_workers : {1, 4}) {
    WorkerPool pool(num_workers);
    std::vector<float> y(tokens.size() * hidden + 1, -1.0F);
    embedding_kernel().run(table.view(), tokens, y.data(), pool);
    std::vector<double> expected(hidden);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      reference::dequantize_row(table.view(), 0, tokens[t], expected);
      for (std::uint64_t k = 0; k < hidden; ++k) {
        ASSERT_EQ(y[t * hidden + k], static_cast<float>(expected[k])) << "token " << tokens[t] << ", " << k;
      }
    }
    EXPECT_EQ(y.back(), -1.0F);
  }
}

TEST_P(Embedding, NoTokensWriteNothing) {
  Random random(2);
  const RandomLinear table(GetParam(), random);
  WorkerPool pool(2);
  float y = -1.0F;
  embedding_kernel().run(table.view(), {}, &y, pool);
  EXPECT_EQ(y, -1.0F);
}

INSTANTIATE_TEST_SUITE_P(Tables, Embedding, testing::ValuesIn(all_tables()));

}  // namespace
}  // namespace nvfp4::kernels
