// `nvfp4 bench engine`: the fields of vLLM's serving benchmark, and sums that add up.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/byte_model.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

using support::Arguments;
using support::expect_refusal;
using support::joined;
using support::json_of;
using support::run_nvfp4;
using support::RunResult;

class BenchCommand : public testing::Test {
 protected:
  [[nodiscard]] RunResult run(const Arguments& more) const {
    return run_nvfp4(joined({"bench", "engine", model_.path()}, more));
  }
  support::ByteModel model_{"plain_qwen3_moe"};
};

TEST_F(BenchCommand, JsonHasTheFieldsOfVllm) {
  const auto json = json_of(
      run({"--input-len", "9", "--output-len", "5", "--concurrency", "3", "--num-prompts", "7", "--json", "-q"}));
  EXPECT_EQ(json["num_prompts"], 7);
  EXPECT_EQ(json["completed"], 7);
  EXPECT_EQ(json["max_concurrency"], 3);
  EXPECT_EQ(json["input_len"], 9);
  EXPECT_EQ(json["output_len"], 5);
  EXPECT_EQ(json["total_input_tokens"], 7 * 9);
  EXPECT_EQ(json["total_output_tokens"], 7 * 5);
  const double duration = json["duration"].get<double>();
  EXPECT_GT(duration, 0);
  EXPECT_NEAR(json["request_throughput"].get<double>() * duration, 7, 1e-9);
  EXPECT_NEAR(json["output_throughput"].get<double>() * duration, 7 * 5, 1e-9);
  EXPECT_NEAR(json["total_token_throughput"].get<double>() * duration, 7 * (5 + 9), 1e-9);
  for (const std::string kind : {"ttft", "tpot", "itl"}) {
    const auto value = [&](const std::string& which) { return json[which + "_" + kind + "_ms"].get<double>(); };
    EXPECT_GT(value("mean"), 0) << kind;
    EXPECT_GT(value("median"), 0) << kind;
    EXPECT_GE(value("std"), 0) << kind;
    EXPECT_GE(value("p99"), value("median")) << kind;
    EXPECT_LE(value("p99"), duration * 1e3) << kind;
  }
  // All answers are of one length: the times between tokens are those per token, taken apart.
  EXPECT_NEAR(json["mean_itl_ms"].get<double>(), json["mean_tpot_ms"].get<double>(), 1e-9);
  EXPECT_EQ(json["model"], model_.path());
  EXPECT_FALSE(json["kernels"].empty());
}

TEST_F(BenchCommand, TextHasTheLinesOfVllm) {
  const RunResult result = run({"--input-len", "4", "--output-len", "3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.err.starts_with("layer ")) << result.err;
  std::vector<std::string> labels = {"Successful requests:",
                                     "Maximum request concurrency:",
                                     "Benchmark duration (s):",
                                     "Total input tokens:",
                                     "Total generated tokens:",
                                     "Request throughput (req/s):",
                                     "Output token throughput (tok/s):",
                                     "Total token throughput (tok/s):"};
  for (const char* kind : {"TTFT", "TPOT", "ITL"}) {
    for (const char* which : {"Mean", "Median", "P99"}) labels.push_back(fmt::format("{} {} (ms):", which, kind));
  }
  for (const std::string& label : labels) EXPECT_NE(("\n" + result.out).find("\n" + label), std::string::npos) << label;
  EXPECT_NE(result.out.find("Successful requests:                     4\n"), std::string::npos) << "four at a time";
}

TEST_F(BenchCommand, AnswersOfOneTokenHaveNoTimesBetweenTokens) {
  const auto json = json_of(run({"--input-len", "4", "--output-len", "1", "--json", "-q"}));
  EXPECT_EQ(json["total_output_tokens"], 4);
  EXPECT_GT(json["mean_ttft_ms"].get<double>(), 0);
  EXPECT_EQ(json["mean_tpot_ms"], 0.0);
  EXPECT_EQ(json["p99_itl_ms"], 0.0);
}

TEST_F(BenchCommand, RunsWithoutWeights) {
  const auto json = json_of(run_nvfp4({"bench", "engine", "--dummy-weights", "--config", model_.file("config.json"),
                                       "--input-len", "4", "--output-len", "2", "--num-prompts", "2", "--json", "-q"}));
  EXPECT_EQ(json["completed"], 2);
  EXPECT_EQ(json["model"], model_.file("config.json"));
}

TEST_F(BenchCommand, WhatCannotBeMeasuredIsRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--input-len", "0"},   {"--input-len", "many"}, {"--output-len", "0"},
      {"--output-len", "-1"}, {"--concurrency", "0"},  {"--concurrency", "4097"},
      {"--num-prompts", "0"}, {"--kv-cache-gib", "0"}, {"--seed", "-1"}};
  for (const auto& [flag, value] : cases) expect_refusal(run({flag, value}), {"nvfp4 bench engine", flag, value});
  // Answers would end early, and the figures would be of something else.
  expect_refusal(run({"--input-len", "500", "--output-len", "13"}), {"--input-len", "--output-len", "513", "512"});
  EXPECT_EQ(run({"--input-len", "500", "--output-len", "12", "--num-prompts", "1", "-q"}).exit_code, 0);
  expect_refusal(run_nvfp4({"bench"}), {"nvfp4 bench engine"});
  expect_refusal(run_nvfp4({"bench", "disk"}), {"disk", "nvfp4 bench"});
  expect_refusal(run_nvfp4({"bench", "engine"}), {"--dummy-weights"});
}

}  // namespace
}  // namespace nvfp4
