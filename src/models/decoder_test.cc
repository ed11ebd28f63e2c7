// Every architecture with random weights: what forward() promises whatever the numbers are.
#include "models/decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "models/load_model.h"
#include "support/allocation_counter.h"

namespace nvfp4::models {
namespace {

using layers::KvCache;
using layers::KvType;

const std::string kFp8 = R"("quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"})";
const std::string kNvfp4 =
    R"("quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16,
  "ignore": ["lm_head", "*.mlp.gate"]})";
const std::string kPlain = R"("quantization_config": null)";

struct Kind {
  std::string architecture;
  std::string more;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds = {
      {"Qwen3MoeForCausalLM",
       R"("num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "mlp_only_layers": [1])"},
      {"Qwen3ForCausalLM", R"("tie_word_embeddings": true)"},
      {"LlamaForCausalLM", R"("attention_bias": true, "mlp_bias": true)"},
      {"MistralForCausalLM", R"("sliding_window": 7)"},
  };
  return kKinds;
}

std::string config(const Kind& kind, const std::string& quantization) {
  return fmt::format(R"({{"architectures": ["{}"], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 130,
    "max_position_embeddings": 256, {}, {}}})",
                     kind.architecture, kind.more, quantization);
}

std::unique_ptr<LanguageModel> make(const std::string& config_json, std::uint64_t seed = 1,
                                    layers::Precision precision = layers::Precision::kBF16) {
  WorkerPool pool(2);
  LoadOptions options;
  options.precision = precision;
  auto model = make_random_model(config_json, "config.json", seed, options, pool);
  EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().to_string());
  return model.ok() ? std::move(model).value() : nullptr;
}

// One sequence of `num_tokens` tokens in one step, logits of the last `num_rows`.
std::vector<float> forward(const LanguageModel& model, std::uint32_t num_tokens, std::uint32_t num_rows,
                           std::size_t num_workers) {
  WorkerPool pool(num_workers);
  auto cache = KvCache::create(model.shape().kv, KvType::kBF16, 8);
  EXPECT_TRUE(cache.ok());
  std::vector<TokenId> tokens(num_tokens);
  for (std::uint32_t i = 0; i < num_tokens; ++i) tokens[i] = 7 * i % model.shape().vocab_size;
  std::vector<std::uint32_t> rows(num_rows);
  std::iota(rows.begin(), rows.end(), num_tokens - num_rows);
  const std::vector<std::uint32_t> blocks = {6, 1, 3, 0, 7};
  const layers::SequenceSlice slice{0, num_tokens, 0, blocks};
  std::vector<float> logits(std::size_t{num_rows} * model.shape().vocab_size);
  const std::size_t num_bytes = model.workspace_bytes(num_tokens, num_rows, num_workers);
  Workspace workspace;
  workspace.reserve(num_bytes);
#if NVFP4_COUNTS_ALLOCATIONS
  const std::size_t before = support::num_allocations;
#endif
  model.forward({tokens, {&slice, 1}, rows}, *cache, workspace, pool, logits);
#if NVFP4_COUNTS_ALLOCATIONS
  EXPECT_EQ(support::num_allocations - before, 0U) << "forward() allocates";
#endif
  EXPECT_LE(workspace.peak_bytes(), num_bytes) << "forward() takes more than workspace_bytes()";
  return logits;
}

class Architectures : public testing::TestWithParam<Kind> {};

TEST_P(Architectures, KeepToTheirWorkspaceAndDoNotAllocate) {
  for (const std::string& quantization : {kPlain, kFp8, kNvfp4}) {
    const auto model = make(config(GetParam(), quantization));
    ASSERT_NE(model, nullptr);
    std::vector<float> last;
    for (const std::size_t num_workers : {1, 2, 5}) {
      for (const auto& [num_tokens, num_rows] : {std::pair(1U, 1U), {1U, 0U}, {5U, 5U}, {33U, 1U}, {70U, 70U}}) {
        const std::vector<float> logits = forward(*model, num_tokens, num_rows, num_workers);
        for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
        if (num_tokens == 70) {
          EXPECT_TRUE(last.empty() || logits == last) << "the number of workers changes the logits";
          last = logits;
        }
      }
    }
  }
}

TEST_P(Architectures, TheSeedDecidesTheLogits) {
  const std::string config_json = config(GetParam(), kNvfp4);
  const std::vector<float> logits = forward(*make(config_json, 5), 9, 9, 2);
  EXPECT_EQ(forward(*make(config_json, 5), 9, 9, 1), logits);
  EXPECT_NE(forward(*make(config_json, 6), 9, 9, 2), logits);
}

// Logits are sums of normed values under weights of variance 1 / hidden: of variance 1, whatever the scheme. A tied
// head has the embedding's variance 1, so 8 times the size.
TEST_P(Architectures, RandomLogitsHaveTheSizeOfTheirWeights) {
  const double wanted = GetParam().architecture == "Qwen3ForCausalLM" ? 8.0 : 1.0;
  for (const std::string& quantization : {kPlain, kFp8, kNvfp4}) {
    double squares = 0;
    const std::vector<float> logits = forward(*make(config(GetParam(), quantization)), 40, 40, 2);
    for (const float logit : logits) squares += double{logit} * logit;
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(logits.size())) / wanted, 1.0, 0.3) << quantization;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::ValuesIn(kinds()),
                         [](const auto& kind) { return kind.param.architecture; });

}  // namespace
}  // namespace nvfp4::models
