// `nvfp4 eval`: exact match on problems, perplexity and divergence of a text.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "apps/score.h"
#include "support/byte_model.h"
#include "support/npy_file.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using apps::final_number;
using apps::Share;
using support::Arguments;
using support::expect_refusal;
using support::joined;
using support::json_of;
using support::run_nvfp4;
using support::RunResult;

TEST(FinalNumber, IsTheOneBehindTheLastMark) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"#### 42", "42"},
      {"it is 7 #### 42", "42"},
      {"#### 1 then #### 2", "2"},
      {"####42", "42"},
      {"#### 1,234,567", "1234567"},
      {"#### $1,234.50", "1234.5"},
      {"#### -3", "-3"},
      {"#### -$3.00", "-3"},
      {"#### $-3", "-3"},
      {"#### 3.", "3"},
      {"#### 3.10.", "3.1"},
      {"#### 100", "100"},
      {"#### 100.0", "100"},
      {"#### 0.50", "0.5"},
      {"#### .5", "0.5"},
      {"#### 007", "7"},
      {"#### 0", "0"},
      {"#### -0.0", "0"},
      {"#### 12 apples", "12"},
      {"#### 12.\n", "12"},
      {"#### 5-3", "5"},
      {"#### 1.5,000", "1.5"},
      {"##### 8", "8"},
  };
  for (const auto& [text, number] : cases) EXPECT_EQ(final_number(text), number) << text;
  for (const char* text : {"", "42", "### 42", "#### ", "#### x", "#### -", "#### .", "#### $", "#### 7 ####"}) {
    EXPECT_EQ(final_number(text), std::nullopt) << text;
  }
}

// The limits solve (p - hits / all)^2 = z^2 p (1 - p) / all, here by bisection; 81 of 263 and 15 of 148 are Newcombe's
// examples (1998).
TEST(Share, HasWilsonsInterval) {
  const auto expect = [](std::uint64_t hits, std::uint64_t all, double low, double high) {
    const Share::Interval interval = Share{hits, all}.interval95();
    EXPECT_NEAR(interval.low, low, 1e-6) << hits << " of " << all;
    EXPECT_NEAR(interval.high, high, 1e-6) << hits << " of " << all;
  };
  expect(0, 10, 0.0000000, 0.2775328);
  expect(10, 10, 0.7224672, 1.0000000);
  expect(1, 10, 0.0178762, 0.4041500);
  expect(5, 10, 0.2365931, 0.7634069);
  expect(81, 263, 0.2552885, 0.3662096);
  expect(15, 148, 0.0623864, 0.1604872);
  expect(732, 1319, 0.5280250, 0.5815876);
  EXPECT_EQ(Share({0, 10}).interval95().low, 0);
  EXPECT_EQ(Share({10, 10}).interval95().high, 1);
  EXPECT_EQ(Share({0, 0}).interval95().low, 0);
  EXPECT_EQ(Share({0, 0}).interval95().high, 1);
  EXPECT_EQ(Share({0, 0}).value(), 0);
}

class EvalCommand : public testing::Test {
 protected:
  [[nodiscard]] RunResult run(const Arguments& more) const {
    return run_nvfp4(joined({"eval", model_.path(), "-q"}, more));
  }
  [[nodiscard]] std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(model_.file(name), std::ios::binary | std::ios::trunc) << content;
    return model_.file(name);
  }
  [[nodiscard]] RunResult run_problems(const std::string& lines, const Arguments& more = {}) const {
    return run(joined({"--problems", write("problems.jsonl", lines), "--max-tokens", "4"}, more));
  }
  [[nodiscard]] RunResult run_text(const std::string& text, const Arguments& more = {}) const {
    return run(joined({"--text", write("text.txt", text), "--json"}, more));
  }

  support::ByteModel model_{"modelopt_w4a4_llama"};
};

constexpr const char* kGoodLine = R"({"question": "1 + 1?", "answer": "It is 2. #### 2"})";

TEST_F(EvalCommand, AnswersEveryProblem) {
  std::string lines;
  for (int i = 0; i < 7; ++i) {
    lines += fmt::format("{{\"question\": \"{} + 1?\", \"answer\": \"#### {},000.0\", \"more\": []}}\n", i, i + 1);
    if (i == 3) lines += " \r\n";
  }
  const std::string answers = model_.file("answers.jsonl");
  const auto json = json_of(run_problems(lines, {"--json", "--answers", answers, "--concurrency", "3"}));
  EXPECT_EQ(json["num_problems"], 7);
  EXPECT_EQ(json["num_exact"], 0) << "a model of random weights";
  EXPECT_EQ(json["exact_match"], 0.0);
  EXPECT_EQ(json["interval95"][0], 0.0);
  EXPECT_NEAR(json["interval95"][1].get<double>(), (Share{0, 7}.interval95().high), 1e-15);
  EXPECT_LE(json["output_tokens"].get<int>(), 28);
  EXPECT_GT(json["output_tokens_per_second"].get<double>(), 0);
  EXPECT_EQ(json["activations"], "checkpoint");
  EXPECT_EQ(json["precision"], "bf16");
  EXPECT_EQ(json["model"], model_.path());
  EXPECT_FALSE(json["kernels"].empty());
  // Each line has the answer that `run` gives to its prompt.
  std::ifstream file(answers);
  int num_lines = 0;
  for (std::string line; std::getline(file, line); ++num_lines) {
    const auto answer = nlohmann::json::parse(line);
    EXPECT_EQ(answer["expected"], fmt::format("{}000", num_lines + 1));
    EXPECT_EQ(answer["exact"], false);
    const std::string prompt = fmt::format("Question: {} + 1?\nAnswer:", num_lines);
    EXPECT_EQ(answer["question"], fmt::format("{} + 1?", num_lines));
    const RunResult alone = run_nvfp4({"run", model_.path(), "-q", "--prompt", prompt, "--max-tokens", "4"});
    EXPECT_EQ(answer["output"].get<std::string>() + "\n", alone.out);
  }
  EXPECT_EQ(num_lines, 7);
  const auto limited = json_of(run_problems(lines, {"--json", "--limit", "2", "--prompt-format", "{question}"}));
  EXPECT_EQ(limited["num_problems"], 2);
  const RunResult text = run_problems(lines);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("exact match  0.00 %"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("0 of 7"), std::string::npos) << text.out;
}

TEST_F(EvalCommand, BadProblemsAreRefusedByLine) {
  const std::string good = std::string(kGoodLine) + "\n";
  const std::vector<std::string> lines = {"{\"question\"",
                                          "[]",
                                          "7",
                                          R"({"question": "x"})",
                                          R"({"answer": "#### 1"})",
                                          R"({"question": 1, "answer": "#### 1"})"};
  for (const std::string& line : lines) {
    const RunResult result = run_problems(good + "\n" + line + "\n" + good);
    expect_refusal(result, {"problems.jsonl: line 3: ", "\"question\" and \"answer\""});
  }
  expect_refusal(run_problems(good + R"({"question": "x", "answer": "just 1"})"), {"line 2", "####"});
  expect_refusal(run_problems(good + "{\"question\": \"a\xFF\", \"answer\": \"#### 1\"}"), {"line 2"});
  expect_refusal(run_problems(""), {"problems.jsonl", "no problems"});
  expect_refusal(run_problems("\n\n"), {"problems.jsonl", "no problems"});
  const std::string endless = fmt::format(R"({{"question": "{}", "answer": "#### 1"}})", std::string(600, 'x'));
  expect_refusal(run_problems(good + endless), {"line 2", "512"});
  expect_refusal(run_problems(good, {"--prompt-format", "Q"}), {"--prompt-format", "{question}"});
  expect_refusal(run_problems(good, {"--answers", "/nonexistent/a"}), {"/nonexistent/a", "No such file"});
  expect_refusal(run({"--problems", "/nonexistent/p"}), {"/nonexistent/p", "No such file"});
  model_.remove("tokenizer.json");
  expect_refusal(run_problems(good), {"tokenizer.json", "missing"});
}

TEST_F(EvalCommand, FlagsAreChecked) {
  const std::string file = write("x", kGoodLine);
  expect_refusal(run({}), {"--problems", "--text"});
  expect_refusal(run({"--problems", file, "--text", file}), {"--problems", "--text"});
  expect_refusal(run({"--problems", file, "--against", "w4a16"}), {"--against", "--text"});
  expect_refusal(run({"--problems", file, "--against-dir", model_.path()}), {"--against-dir", "--text"});
  expect_refusal(run({"--text", file, "--against", "w2"}), {"--against", "w2"});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--max-tokens", "0"}, {"--concurrency", "0"}, {"--concurrency", "4097"}, {"--limit", "0"}, {"--window", "1"}};
  for (const auto& [flag, value] : cases) expect_refusal(run({"--text", file, flag, value}), {flag, value});
}

std::string some_text(std::size_t length) {
  std::string text;
  for (std::size_t i = 0; text.size() < length; ++i) text += fmt::format("{} times {} is {}. ", i, i, i * i);
  text.resize(length);
  return text;
}

// Sum of -log p(token) over all tokens of the window but the first, from `nvfp4 logits`.
double negative_log_likelihood(const support::ByteModel& model, const std::string& window) {
  const std::string out = model.file("window.npy");
  const RunResult result = run_nvfp4({"logits", model.path(), "-q", "--tokens",
                                      fmt::format("{}", fmt::join(support::bytes_of(window), ",")), "--out", out});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto logits = support::read_npy<float>(out);
  double sum = 0;
  for (std::size_t t = 0; t + 1 < window.size(); ++t) {
    const float* const row = logits.values.data() + t * logits.shape[1];
    double total = 0;
    for (std::size_t v = 0; v < logits.shape[1]; ++v) total += std::exp(double{row[v]});
    sum += std::log(total) - row[static_cast<unsigned char>(window[t + 1])];
  }
  return sum;
}

TEST_F(EvalCommand, PerplexityIsThatOfTheLogits) {
  const std::string text = some_text(301);
  for (const std::size_t window : {512UL, 100UL}) {
    double sum = 0;
    std::size_t num_tokens = 0;
    for (std::size_t at = 0; at + 1 < text.size(); at += window) {
      const std::string part = text.substr(at, window);
      sum += negative_log_likelihood(model_, part);
      num_tokens += part.size() - 1;
    }
    const auto json = json_of(run_text(text, {"--window", fmt::format("{}", window)}));
    EXPECT_EQ(json["num_tokens"], num_tokens);
    const double expected = std::exp(sum / static_cast<double>(num_tokens));
    // Both sum 256 exponentials and 300 terms in FP64: less than 600 roundings of 2^-53, of logarithms below 8.
    EXPECT_NEAR(json["perplexity"].get<double>() / expected, 1, 1e-12);
    EXPECT_FALSE(json.contains("kl_divergence"));
  }
  EXPECT_EQ(json_of(run_text(text, {"--window", "3"}))["num_tokens"], 200);
  EXPECT_EQ(json_of(run_text("ab"))["num_tokens"], 1);
}

TEST_F(EvalCommand, AModelDoesNotDivergeFromItself) {
  const auto same = json_of(run_text(some_text(200), {"--against", "checkpoint"}));
  EXPECT_EQ(same["kl_divergence"], 0.0);
  EXPECT_EQ(same["same_top1"], 1.0);
  EXPECT_EQ(same["reference_perplexity"], same["perplexity"]);
  EXPECT_EQ(json_of(run_text(some_text(200), {"--against-dir", model_.path()}))["kl_divergence"], 0.0);
}

TEST_F(EvalCommand, DivergenceIsThatOfTheActivations) {
  const auto other = json_of(run_text(some_text(200), {"--against", "w4a16"}));
  EXPECT_GT(other["kl_divergence"].get<double>(), 1e-6);
  EXPECT_LT(other["same_top1"].get<double>(), 1.0);
  const auto alone = json_of(run_text(some_text(200), {"--activations", "w4a16"}));
  EXPECT_EQ(other["reference_perplexity"], alone["perplexity"]);
  EXPECT_EQ(alone["activations"], "w4a16");
  const RunResult text = run({"--text", model_.file("text.txt"), "--against", "w4a16"});
  EXPECT_NE(text.out.find("KL(reference || model)"), std::string::npos) << text.out;
}

TEST_F(EvalCommand, BadTextsAreRefused) {
  expect_refusal(run_text(""), {"text.txt", "two tokens"});
  expect_refusal(run_text("a"), {"text.txt", "two tokens"});
  expect_refusal(run_text("ab\xFF"), {"text.txt", "UTF-8", "byte 2"});
  expect_refusal(run({"--text", "/nonexistent/t"}), {"/nonexistent/t", "No such file"});
  expect_refusal(run_text("abc", {"--against-dir", "/nonexistent/m"}), {"/nonexistent/m"});
  const support::ByteModel other("plain_llama");
  other.change("config.json", {{"vocab_size", 255}});
  expect_refusal(run_text("abc", {"--against-dir", other.path()}), {other.path()});
}

}  // namespace
}  // namespace nvfp4
