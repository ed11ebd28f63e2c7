#include "engine/text_generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/history_model.h"

namespace nvfp4::engine {
namespace {

// Byte-level: 90 printable characters, the two bytes of "é", a special token, and nothing for the last ids.
std::string tokenizer_json() {
  std::string vocab;
  for (int id = 0; id < 90; ++id) {
    const char character = static_cast<char>('!' + id);
    const std::string name =
        character == '"' || character == '\\' ? std::string("\\") + character : std::string(1, character);
    vocab += '"' + name + "\": " + std::to_string(id) + ", ";
  }
  vocab += R"("Ã": 90, "©": 91, "Ġ": 92)";
  return R"({"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
    "added_tokens": [{"id": 93, "content": "<end>", "special": true, "single_word": false, "lstrip": false,
                      "rstrip": false, "normalized": false}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {)" +
         vocab + R"(}, "merges": []}})";
}

constexpr TokenId kEnd = 93;

struct TextAnswer {
  std::string text;
  std::vector<TokenId> tokens;
  FinishReason reason = FinishReason::kNone;
};

class TextGenerationTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::parse(tokenizer_json(), "tokenizer.json");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().to_string();
    tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer).value());
    EngineOptions options;
    options.kv_type = layers::KvType::kF32;
    options.num_blocks = 30;
    options.max_batch_tokens = 16;
    auto engine = Engine::create(model_, options, pool_);
    ASSERT_TRUE(engine.ok());
    engine_ = std::make_unique<Engine>(std::move(engine).value());
    generation_ = std::make_unique<TextGeneration>(*engine_, *tokenizer_);
  }

  SequenceId add(TextRequest request) {
    auto id = generation_->add(std::move(request));
    EXPECT_TRUE(id.ok()) << id.error().to_string();
    return *id;
  }

  std::map<SequenceId, TextAnswer> run() {
    std::map<SequenceId, TextAnswer> answers;
    while (generation_->has_work()) {
      const auto events = generation_->step();
      EXPECT_TRUE(events.ok());
      for (const TextEvent& event : *events) {
        TextAnswer& answer = answers[event.token.sequence];
        EXPECT_EQ(answer.reason, FinishReason::kNone);
        answer.text += event.text;
        answer.tokens.push_back(event.token.token);
        answer.reason = event.token.finish_reason;
      }
    }
    EXPECT_EQ(engine_->scheduler().blocks().num_free(), engine_->cache().num_blocks());
    return answers;
  }

  TextAnswer run_one(const TextRequest& request) {
    const SequenceId id = add(request);
    return run().at(id);
  }

  static TextRequest asking(std::string prompt, std::uint64_t seed) {
    TextRequest request;
    request.prompt_text = std::move(prompt);
    request.tokens.sampling.temperature = 1;
    request.tokens.sampling.seed = seed;
    request.tokens.max_tokens = 100;
    return request;
  }

  HistoryModel model_{200};
  WorkerPool pool_{1};
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<TextGeneration> generation_;
};

TEST_F(TextGenerationTest, PiecesAreTheWholeText) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) add(asking("once upon a time", seed));
  for (const auto& [id, answer] : run()) {
    EXPECT_EQ(answer.tokens.size(), 100U);
    EXPECT_EQ(answer.text, tokenizer_->decode(answer.tokens, true));
    EXPECT_EQ(answer.reason, FinishReason::kLength);
  }
}

TEST_F(TextGenerationTest, HalfACharacterAtTheEndIsTold) {
  bool seen = false;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    TextRequest request = asking("x" + std::to_string(seed), seed);
    request.tokens.max_tokens = 1;
    const TextAnswer answer = run_one(request);
    EXPECT_EQ(answer.text, tokenizer_->decode(answer.tokens, true));
    seen = seen || answer.text == "\xef\xbf\xbd";
  }
  EXPECT_TRUE(seen);
}

TEST_F(TextGenerationTest, StopTokenEndsWithoutItsText) {
  TextRequest request = asking("x", 3);
  request.tokens.max_tokens = 180;
  request.tokens.sampling.top_k = 90;
  const auto whole = run_one(request);
  ASSERT_GT(whole.tokens.size(), 20U);
  request.tokens.stop_tokens = {whole.tokens[20]};
  const auto stopped = run_one(request);
  EXPECT_EQ(stopped.reason, FinishReason::kStop);
  ASSERT_LE(stopped.tokens.size(), 21U);
  std::vector<TokenId> before = stopped.tokens;
  EXPECT_EQ(before.back(), whole.tokens[20]);
  before.pop_back();
  EXPECT_EQ(stopped.text, tokenizer_->decode(before, true));
}

TEST_F(TextGenerationTest, StopStringEndsBeforeIt) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    TextRequest request = asking("tell me", seed);
    const TextAnswer whole = run_one(request);
    for (const std::size_t length : {1U, 3U, 7U}) {
      request.stop_strings = {"never in there, too long", whole.text.substr(30, length)};
      const TextAnswer stopped = run_one(request);
      const std::size_t at = whole.text.find(request.stop_strings[1]);
      EXPECT_EQ(stopped.text, whole.text.substr(0, at));
      EXPECT_EQ(stopped.reason, FinishReason::kStop);
      EXPECT_LT(stopped.tokens.size(), 100U) << "the engine goes on";
    }
    request.stop_strings = {whole.text + "?"};
    const TextAnswer unstopped = run_one(request);
    EXPECT_EQ(unstopped.text, whole.text) << "what was held back comes at the end";
    EXPECT_EQ(unstopped.reason, FinishReason::kLength);
  }
}

TEST_F(TextGenerationTest, SpecialTokensAreShownOnRequest) {
  TextRequest request = asking("a", 0);
  request.tokens.max_tokens = 190;
  bool seen = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    request.tokens.sampling.seed = seed;
    request.skip_special_tokens = true;
    const TextAnswer hidden = run_one(request);
    request.skip_special_tokens = false;
    const TextAnswer shown = run_one(request);
    EXPECT_EQ(hidden.tokens, shown.tokens);
    EXPECT_EQ(hidden.text.find("<end>"), std::string::npos);
    const bool there = std::count(shown.tokens.begin(), shown.tokens.end(), kEnd) > 0;
    EXPECT_EQ(shown.text.find("<end>") != std::string::npos, there);
    seen = seen || there;
  }
  EXPECT_TRUE(seen);
}

TEST_F(TextGenerationTest, CancelAndErrorsLeaveNothing) {
  const SequenceId gone = add(asking("one", 1));
  const SequenceId stays = add(asking("two", 2));
  ASSERT_TRUE(generation_->step().ok());
  generation_->cancel(gone);
  TextRequest poisoned;
  poisoned.tokens.prompt = {1, HistoryModel::kPoison};
  const SequenceId bad = add(poisoned);
  const auto answers = run();
  EXPECT_EQ(answers.count(gone), 0U);
  EXPECT_EQ(answers.at(stays).tokens.size(), 99U);
  EXPECT_EQ(answers.at(bad).reason, FinishReason::kError);
  EXPECT_EQ(answers.at(bad).text, "");
  EXPECT_FALSE(generation_->add(asking("\xff", 1)).ok());
  EXPECT_FALSE(generation_->add(asking("", 1)).ok());
}

}  // namespace
}  // namespace nvfp4::engine
