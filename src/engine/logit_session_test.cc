#include "engine/logit_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "engine/history_model.h"

namespace nvfp4::engine {
namespace {

std::vector<TokenId> some_tokens(std::size_t count) {
  std::vector<TokenId> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<TokenId>(i * 31 % HistoryModel::kPoison);
  return tokens;
}

std::vector<float> expected_after(std::span<const TokenId> tokens) {
  std::vector<float> logits(HistoryModel::kVocabSize);
  HistoryModel::logits_after(tokens, logits);
  return logits;
}

// More blocks than one, fed in chunks of unequal size: every token's logits follow from all tokens before it.
TEST(LogitSession, EveryChunkContinuesTheSequence) {
  const HistoryModel model(200);
  WorkerPool pool(2);
  auto session = LogitSession::create(model, layers::KvType::kF32, 50, 20, pool);
  ASSERT_TRUE(session.ok());
  EXPECT_EQ(session->max_step_tokens(), 20U);
  const std::vector<TokenId> tokens = some_tokens(50);
  for (int round = 0; round < 2; ++round) {
    std::size_t at = 0;
    for (const std::size_t size : {1, 20, 15, 3, 11}) {
      const std::span<const float> logits = session->feed(std::span(tokens).subspan(at, size));
      ASSERT_EQ(logits.size(), size * HistoryModel::kVocabSize);
      for (std::size_t i = 0; i < size; ++i) {
        const auto row = logits.subspan(i * HistoryModel::kVocabSize, HistoryModel::kVocabSize);
        EXPECT_TRUE(std::ranges::equal(row, expected_after(std::span(tokens).first(at + i + 1)))) << at + i;
      }
      at += size;
      EXPECT_EQ(session->position(), at);
    }
    session->restart();
    EXPECT_EQ(session->position(), 0U);
  }
}

TEST(LogitSession, CheckTokensNamesWhatIsWrong) {
  const HistoryModel model(8);
  const auto message = [&](const std::vector<TokenId>& tokens) {
    const Status status = check_tokens(model.shape(), tokens);
    return status.ok() ? "" : status.error().to_string();
  };
  EXPECT_EQ(message({0, 96, 3}), "");
  EXPECT_EQ(message(std::vector<TokenId>(8, 1)), "");
  EXPECT_THAT(message({}), testing::HasSubstr("at least one"));
  EXPECT_THAT(message(std::vector<TokenId>(9, 1)), testing::HasSubstr("there are 9, but the model's context is 8"));
  EXPECT_THAT(message({1, 97}), testing::HasSubstr("tokens[1]: 97"));
}

}  // namespace
}  // namespace nvfp4::engine
