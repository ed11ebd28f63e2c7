// Our logits against those of Hugging Face transformers (FP32, eager) on the checkpoints of fixtures/parity, for every
// mode that a checkpoint has goldens of and every instruction set that runs here. A failure names the first layer that
// departs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "models/load_model.h"
#include "support/fixtures.h"
#include "support/instruction_sets.h"
#include "support/model_session.h"
#include "support/npy_file.h"

namespace nvfp4 {
namespace {

using layers::KvType;
using layers::Precision;
using prepare::ActivationRequest;
using support::read_npy;

struct Mode {
  std::string checkpoint;
  std::string name;  // key of parity.json's modes
  std::string logits, hidden;
  InstructionSet instruction_set;

  [[nodiscard]] ActivationRequest activations() const {
    const bool as_checkpoint = name == "logits_w4a4" || name == "logits_fp8_activations";
    return as_checkpoint ? ActivationRequest::kCheckpoint : ActivationRequest::kW4A16;
  }
  [[nodiscard]] KvType exact_kv() const { return name == "logits_fp8_kv" ? KvType::kFp8 : KvType::kF32; }
  [[nodiscard]] std::filesystem::path directory() const { return support::kParity / checkpoint; }
};

void PrintTo(const Mode& mode, std::ostream* out) {
  *out << mode.checkpoint << "/" << mode.name << "/" << instruction_set_name(mode.instruction_set);
}

std::vector<Mode> all_modes() {
  std::vector<Mode> modes;
  for (const auto& entry : std::filesystem::directory_iterator(support::kParity)) {
    std::ifstream file(entry.path() / "parity.json");
    if (!file) continue;
    const auto facts = nlohmann::json::parse(file);
    for (const auto& [name, mode] : facts["modes"].items()) {
      for (const InstructionSet set : support::instruction_sets()) {
        modes.push_back({entry.path().filename(), name, mode["logits"], mode["hidden"], set});
      }
    }
  }
  std::sort(modes.begin(), modes.end(), [](const Mode& a, const Mode& b) {
    return std::tie(a.checkpoint, a.name, a.instruction_set) < std::tie(b.checkpoint, b.name, b.instruction_set);
  });
  return modes;
}

std::unique_ptr<models::LanguageModel> load(const Mode& mode, Precision precision, WorkerPool& pool) {
  auto checkpoint = Checkpoint::open(mode.directory());
  if (!checkpoint) {
    ADD_FAILURE() << checkpoint.error().to_string();
    return nullptr;
  }
  models::LoadOptions options;
  options.precision = precision;
  options.activations = mode.activations();
  options.instruction_set = mode.instruction_set;
  auto model = models::load_model(*checkpoint, mode.checkpoint, options, pool);
  if (!model) {
    ADD_FAILURE() << model.error().to_string();
    return nullptr;
  }
  return std::move(model).value();
}

std::vector<TokenId> tokens_of(const Mode& mode) {
  const auto array = read_npy<std::int32_t>(mode.directory() / "tokens.npy");
  return {array.values.begin(), array.values.end()};
}

float largest(std::span<const float> values) {
  float result = 0;
  for (const float value : values) result = std::max(result, std::fabs(value));
  return result;
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  float result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float difference = std::fabs(a[i] - b[i]);
    result = std::isnan(difference) ? INFINITY : std::max(result, difference);
  }
  return result;
}

// The first depth of the residual stream that is further than the tolerance from transformers', in words.
class DepartureFinder final : public models::HiddenTap {
 public:
  DepartureFinder(const Mode& mode, float tolerance)
      : golden_(read_npy<float>(mode.directory() / mode.hidden)), tolerance_(tolerance) {}

  void take(std::uint32_t depth, std::span<const float> hidden) override {
    const std::span<const float> golden(golden_.values.data() + depth * hidden.size(), hidden.size());
    const float difference = largest_difference(hidden, golden) / largest(golden);
    if (!(difference <= tolerance_) && found_.empty()) {
      found_ = depth == 0 ? fmt::format("the embedding departs by {:.2e}", difference)
                          : fmt::format("layer {} is the first that departs, by {:.2e}", depth - 1, difference);
    }
  }
  [[nodiscard]] std::size_t num_tokens() const { return golden_.shape[1]; }
  [[nodiscard]] const std::string& found() const { return found_; }

 private:
  support::NpyArray<float> golden_;
  float tolerance_;
  std::string found_;
};

std::string first_departure(const Mode& mode, const models::LanguageModel& model, WorkerPool& pool) {
  DepartureFinder finder(mode, 1e-4F);
  support::ModelSession session(model, mode.exact_kv(), pool);
  const std::vector<TokenId> tokens = tokens_of(mode);
  session.feed(std::span(tokens).first(finder.num_tokens()), &finder);
  return finder.found().empty() ? "no layer departs within the first tokens" : finder.found();
}

std::string mode_name(const testing::TestParamInfo<Mode>& mode) {
  std::string set(instruction_set_name(mode.param.instruction_set));
  std::replace(set.begin(), set.end(), '-', '_');
  return mode.param.checkpoint + "_" + mode.param.name.substr(7) + "_" + set;
}

class Parity : public testing::TestWithParam<Mode> {};

TEST_P(Parity, Float32LogitsAgreeAtEveryPosition) {
  const Mode& mode = GetParam();
  WorkerPool pool(2);
  const auto model = load(mode, Precision::kF32, pool);
  ASSERT_NE(model, nullptr);
  const auto golden = read_npy<float>(mode.directory() / mode.logits);
  const std::vector<TokenId> tokens = tokens_of(mode);
  const std::size_t vocab_size = model->shape().vocab_size;
  for (const std::size_t length : {1, 3, 15, 16, 17, 63, 64, 65, 200}) {
    support::ModelSession session(*model, mode.exact_kv(), pool);
    const std::vector<float> logits = session.feed(std::span(tokens).first(length));
    const std::span<const float> expected(golden.values.data(), length * vocab_size);
    const float difference = largest_difference(logits, expected) / largest(expected);
    EXPECT_LE(difference, 1e-4F) << "at length " << length << ": " << first_departure(mode, *model, pool);
    if (length == 200) RecordProperty("difference", fmt::format("{:.2e}", difference));
  }
}

// How far apart the two best logits of a row are.
float top2_margin(std::span<const float> row) {
  std::vector<float> sorted(row.begin(), row.end());
  std::partial_sort(sorted.begin(), sorted.begin() + 2, sorted.end(), std::greater<>());
  return sorted[0] - sorted[1];
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

double deviation(std::span<const float> values) {
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  const double mean = sum / static_cast<double>(values.size());
  return std::sqrt(squares / static_cast<double>(values.size()) - mean * mean);
}

TEST_P(Parity, BFloat16KeepsTheDirectionAndTheChoice) {
  const Mode& mode = GetParam();
  WorkerPool pool(2);
  const auto model = load(mode, Precision::kBF16, pool);
  ASSERT_NE(model, nullptr);
  const auto golden = read_npy<float>(mode.directory() / mode.logits);
  const std::vector<TokenId> tokens = tokens_of(mode);
  const std::size_t vocab_size = model->shape().vocab_size;
  support::ModelSession session(*model, mode.exact_kv() == KvType::kFp8 ? KvType::kFp8 : KvType::kBF16, pool);
  const std::vector<float> logits = session.feed(tokens);
  EXPECT_GE(cosine(logits, golden.values), 0.999);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const std::span<const float> ours(logits.data() + t * vocab_size, vocab_size);
    const std::span<const float> theirs(golden.values.data() + t * vocab_size, vocab_size);
    EXPECT_GE(cosine(ours, theirs), 0.999) << "token " << t;
    if (top2_margin(theirs) > 0.1 * deviation(theirs)) {
      EXPECT_EQ(std::max_element(ours.begin(), ours.end()) - ours.begin(),
                std::max_element(theirs.begin(), theirs.end()) - theirs.begin())
          << "token " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Parity, testing::ValuesIn(all_modes()), mode_name);

// The identities that hold bit for bit: a token's numbers do not depend on how the tokens were grouped into steps.
class Identities : public testing::TestWithParam<Mode> {};

std::vector<float> feed_in_chunks(const models::LanguageModel& model, KvType kv_type, WorkerPool& pool,
                                  std::span<const TokenId> tokens, std::span<const std::size_t> chunks) {
  support::ModelSession session(model, kv_type, pool);
  std::vector<float> all;
  std::size_t at = 0;
  for (std::size_t i = 0; at < tokens.size(); ++i) {
    const std::size_t count = std::min(chunks[i % chunks.size()], tokens.size() - at);
    const std::vector<float> logits = session.feed(tokens.subspan(at, count));
    all.insert(all.end(), logits.begin(), logits.end());
    at += count;
  }
  return all;
}

TEST_P(Identities, ChunksAndSingleTokensGiveTheSameBits) {
  const Mode& mode = GetParam();
  WorkerPool pool(2);
  WorkerPool alone(1);
  std::vector<TokenId> tokens = tokens_of(mode);
  tokens.resize(70);
  const std::pair<Precision, KvType> kinds[] = {
      {Precision::kF32, KvType::kF32}, {Precision::kBF16, KvType::kBF16}, {Precision::kBF16, KvType::kFp8}};
  for (const auto& [precision, kv_type] : kinds) {
    const auto model = load(mode, precision, pool);
    ASSERT_NE(model, nullptr);
    const std::vector<std::vector<std::size_t>> splits = {{1}, {7, 1, 30}, {16}, {17}, {69}};
    const std::vector<float> whole = feed_in_chunks(*model, kv_type, pool, tokens, std::vector<std::size_t>{70});
    EXPECT_EQ(whole, feed_in_chunks(*model, kv_type, alone, tokens, std::vector<std::size_t>{70})) << "one worker";
    for (const auto& chunks : splits) {
      EXPECT_EQ(whole, feed_in_chunks(*model, kv_type, pool, tokens, chunks))
          << "chunks of " << chunks[0] << ", cache " << layers::kv_type_name(kv_type);
    }
  }
}

TEST_P(Identities, ABatchOfSequencesGivesTheBitsOfEachAlone) {
  const Mode& mode = GetParam();
  WorkerPool pool(2);
  const auto model = load(mode, Precision::kBF16, pool);
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> tokens = tokens_of(mode);
  const std::size_t vocab_size = model->shape().vocab_size;
  // Sequences of unequal length, from different places of the text, in one step; their blocks are interleaved.
  const std::vector<std::uint32_t> lengths = {5, 1, 33, 16, 20};
  const std::uint32_t num_total = 75;
  auto cache = layers::KvCache::create(model->shape().kv, KvType::kBF16, 16);
  ASSERT_TRUE(cache);
  Workspace workspace;
  workspace.reserve(model->workspace_bytes(num_total, num_total, 2));
  std::vector<TokenId> batch_tokens;
  std::vector<std::vector<std::uint32_t>> blocks(lengths.size());
  std::vector<layers::SequenceSlice> slices;
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    for (std::uint32_t b = 0; b < 3; ++b) blocks[s].push_back(static_cast<std::uint32_t>(b * lengths.size() + s));
    slices.push_back({static_cast<std::uint32_t>(batch_tokens.size()), lengths[s], 0, blocks[s]});
    batch_tokens.insert(batch_tokens.end(), tokens.begin() + 10 * s, tokens.begin() + 10 * s + lengths[s]);
  }
  std::vector<std::uint32_t> rows(num_total);
  std::iota(rows.begin(), rows.end(), 0U);
  std::vector<float> together(num_total * vocab_size);
  model->forward({batch_tokens, slices, rows}, *cache, workspace, pool, together);
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    support::ModelSession session(*model, KvType::kBF16, pool);
    const std::vector<float> alone = session.feed(std::span(tokens).subspan(10 * s, lengths[s]));
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + slices[s].first_token * vocab_size))
        << "sequence " << s;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Identities, testing::ValuesIn(all_modes()), mode_name);

}  // namespace
}  // namespace nvfp4
