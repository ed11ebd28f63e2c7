// Real models through the engine, under every instruction set that runs here: what they answer may depend neither on
// the batch nor on the cache's size, and is what Hugging Face transformers answers.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "models/load_model.h"
#include "support/fixtures.h"
#include "support/instruction_sets.h"
#include "support/npy_file.h"

namespace nvfp4 {
namespace {

using engine::Engine;
using engine::EngineOptions;
using engine::Request;
using engine::SequenceId;

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(support::kParity)) {
    if (std::filesystem::exists(entry.path() / "greedy.npy")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<TokenId> read_tokens(const std::filesystem::path& path) {
  const auto array = support::read_npy<std::int32_t>(path);
  return {array.values.begin(), array.values.end()};
}

using Answers = std::map<SequenceId, std::vector<TokenId>>;

class Generation : public testing::TestWithParam<std::tuple<std::string, InstructionSet>> {
 protected:
  static std::string checkpoint_name() { return std::get<0>(GetParam()); }

  void load(layers::Precision precision, prepare::ActivationRequest activations) {
    auto checkpoint = Checkpoint::open(support::kParity / checkpoint_name());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
    models::LoadOptions options;
    options.precision = precision;
    options.activations = activations;
    options.instruction_set = std::get<1>(GetParam());
    auto model = models::load_model(*checkpoint, checkpoint_name(), options, pool_);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    model_ = std::move(model).value();
  }

  // The answers in order of the requests; `order` says how they arrive.
  Answers answers_of(const std::vector<Request>& requests, const std::vector<std::size_t>& order,
                     const EngineOptions& options) {
    auto engine = Engine::create(*model_, options, pool_);
    EXPECT_TRUE(engine.ok());
    std::map<SequenceId, std::size_t> asked;
    for (const std::size_t i : order) asked[engine->add(requests[i]).value()] = i;
    Answers answers;
    while (engine->has_work()) {
      const auto events = engine->step();
      for (const engine::TokenEvent& event : *events) {
        EXPECT_NE(event.finish_reason, engine::FinishReason::kError) << event.error.to_string();
        answers[asked.at(event.sequence)].push_back(event.token);
      }
    }
    EXPECT_EQ(engine->scheduler().blocks().num_free(), engine->cache().num_blocks());
    num_preemptions_ = engine->scheduler().num_preemptions();
    return answers;
  }

  static EngineOptions options(layers::KvType kv_type, std::uint32_t num_blocks, std::uint32_t max_batch_tokens) {
    EngineOptions result;
    result.kv_type = kv_type;
    result.num_blocks = num_blocks;
    result.max_batch_tokens = max_batch_tokens;
    return result;
  }

  WorkerPool pool_{2};
  std::unique_ptr<models::LanguageModel> model_;
  std::uint64_t num_preemptions_ = 0;
};

TEST_P(Generation, GreedyIsThatOfTransformers) {
  load(layers::Precision::kF32, prepare::ActivationRequest::kW4A16);
  ASSERT_NE(model_, nullptr);
  const std::vector<TokenId> tokens = read_tokens(support::kParity / checkpoint_name() / "tokens.npy");
  const std::vector<TokenId> golden = read_tokens(support::kParity / checkpoint_name() / "greedy.npy");
  constexpr std::ptrdiff_t kPrompt = 65;
  std::vector<Request> requests(3);
  for (std::ptrdiff_t i = 0; i < 3; ++i) {  // the first as transformers had it, the others are company
    requests[static_cast<std::size_t>(i)].prompt.assign(tokens.begin() + i, tokens.begin() + kPrompt - i * 20);
    requests[static_cast<std::size_t>(i)].max_tokens = static_cast<std::uint32_t>(golden.size());
  }
  EXPECT_EQ(answers_of(requests, {2, 0, 1}, options(layers::KvType::kF32, 64, 24)).at(0), golden);
}

// As users run it: BF16 values and cache, activations as the checkpoint says.
TEST_P(Generation, AnswersDoNotDependOnCompany) {
  load(layers::Precision::kBF16, prepare::ActivationRequest::kCheckpoint);
  ASSERT_NE(model_, nullptr);
  std::mt19937_64 random(7);
  std::vector<Request> requests(6);
  for (Request& request : requests) {
    request.prompt.resize(5 + random() % 60);
    for (TokenId& token : request.prompt) token = static_cast<TokenId>(random() % model_->shape().vocab_size);
    request.max_tokens = 20 + static_cast<std::uint32_t>(random() % 20);
    request.sampling.temperature = random() % 3 == 0 ? 0.0F : 1.0F;
    request.sampling.top_p = 0.95F;
    request.sampling.seed = random();
  }
  constexpr auto kKv = layers::KvType::kBF16;
  Answers alone;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    alone.merge(answers_of(requests, {i}, options(kKv, 64, 512)));
  }
  EXPECT_EQ(answers_of(requests, {0, 1, 2, 3, 4, 5}, options(kKv, 64, 512)), alone);
  EXPECT_EQ(answers_of(requests, {5, 3, 1, 0, 2, 4}, options(kKv, 64, 7)), alone);
  EXPECT_EQ(answers_of(requests, {3, 2, 1, 0, 5, 4}, options(kKv, 12, 33)), alone);
  EXPECT_GT(num_preemptions_, 0U);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Generation,
                         testing::Combine(testing::ValuesIn(fixtures()),
                                          testing::ValuesIn(support::instruction_sets())),
                         [](const auto& test) {
                           std::string set(instruction_set_name(std::get<1>(test.param)));
                           std::replace(set.begin(), set.end(), '-', '_');
                           return std::get<0>(test.param) + "_" + set;
                         });

}  // namespace
}  // namespace nvfp4
