// `nvfp4 bench engine`: the fields of vLLM's serving benchmark, and sums that add up. `nvfp4 bench PROBLEM`: figures
// that agree with one another.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "device/device.h"
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
  EXPECT_FALSE(json["cpu"].empty());
}

TEST_F(BenchCommand, TextHasTheLinesOfVllm) {
  const RunResult result = run({"--input-len", "4", "--output-len", "3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.err.starts_with("CPU: ")) << result.err;
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

TEST_F(BenchCommand, TheProfileAddsUp) {
  const auto json = json_of(run({"--input-len", "9", "--output-len", "5", "--num-prompts", "2", "--json", "-q"}));
  EXPECT_FALSE(json.contains("profile")) << "nobody asked";
  const auto profile = json_of(
      run({"--input-len", "9", "--output-len", "5", "--num-prompts", "2", "--json", "-q", "--profile"}))["profile"];
  EXPECT_EQ(profile["prefill"]["steps"], 2);
  EXPECT_EQ(profile["prefill"]["tokens"], 2 * 9);
  EXPECT_EQ(profile["decode"]["steps"], 2 * 4);
  EXPECT_EQ(profile["decode"]["tokens"], 2 * 4);
  for (const std::string kind : {"prefill", "decode"}) {
    double sum = 0;
    for (const auto& [name, ms] : profile[kind]["stages"].items()) sum += ms.get<double>();
    EXPECT_NEAR(sum / profile[kind]["ms_per_step"].get<double>(), 1, 1e-9) << kind;
    EXPECT_GT(profile[kind]["share_outside_linear"].get<double>(), 0) << kind;
    EXPECT_LT(profile[kind]["share_outside_linear"].get<double>(), 1) << kind;
    for (const char* name :
         {"embedding", "norms", "q, k, v linear", "rope, cache write", "attention", "o linear", "router",
          "gate, up linear", "down linear", "expert rows, sum", "head", "sampling", "rest"}) {
      EXPECT_TRUE(profile[kind]["stages"].contains(name)) << kind << ": " << name;
    }
  }
  const RunResult text = run({"--input-len", "9", "--output-len", "5", "--profile", "-q"});
  EXPECT_NE(text.out.find("\nprefill: 4 steps, 9.0 tokens"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("  outside linear layers: "), std::string::npos) << text.out;
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
  expect_refusal(run_nvfp4({"bench", "engine"}), {"--dummy-weights"});
}

const std::string kLinear = "linear/w4a16/n512/k256/t1";
const std::string kMoe = "moe/w4a4/silu/h128/i64/e8/k2/t3";

Arguments quick(const Arguments& more) { return joined({"bench", "-q", "--json"}, more); }

void expect_sane(const nlohmann::json& figures) {
  const auto number = [&](const char* name) { return figures[name].get<double>(); };
  EXPECT_GE(number("repetitions"), 11);
  EXPECT_GT(number("min_us"), 0);
  EXPECT_LE(number("min_us"), number("median_us"));
  EXPECT_GT(number("ceiling_gb_per_s"), 0.01);
  EXPECT_GT(number("ceiling_tflop_per_s"), 1e-5);
  EXPECT_GT(number("share_of_ceiling"), 0);
  EXPECT_LT(number("share_of_ceiling"), 1.5);
  EXPECT_FALSE(figures["device"].get<std::string>().empty());
  EXPECT_FALSE(figures["kernel"].get<std::string>().empty());
  // Rates are amounts by time, and the share is that of the nearer ceiling.
  EXPECT_NEAR(number("gb_per_s") * number("median_us") * 1e3 / number("bytes"), 1, 1e-9);
  EXPECT_NEAR(number("tflop_per_s") * number("median_us") * 1e6 / number("operations"), 1, 1e-9);
  const double share =
      std::max(number("gb_per_s") / number("ceiling_gb_per_s"), number("tflop_per_s") / number("ceiling_tflop_per_s"));
  EXPECT_NEAR(number("share_of_ceiling"), share, 1e-9);
}

TEST(BenchProblems, EverySchemeGivesFigures) {
  Arguments problems = {kMoe, "moe/w4a16/silu/h64/i32/e4/k4/t1", "moe/bf16/silu/h64/i32/e4/k1/t5",
                        "moe/w4a4/relu2/h64/i32/e4/k2/t3", "moe/w4a16/gelu_tanh/h64/i32/e4/k2/t1"};
  for (const std::string scheme : {"w4a16", "w4a4", "bf16", "fp8", "w8a8", "f16", "f32"}) {
    problems.push_back("linear/" + scheme + "/n96/k64/t2");
  }
  const auto json = json_of(run_nvfp4(joined(quick({"--hot", "--seconds", "0.01", "--threads", "2"}), problems)));
  ASSERT_EQ(json.size(), problems.size());
  for (std::size_t i = 0; i < problems.size(); ++i) {
    SCOPED_TRACE(problems[i]);
    EXPECT_EQ(json[i]["problem"], problems[i]) << "in the order in which they were given";
    EXPECT_EQ(json[i]["threads"], 2);
    EXPECT_EQ(json[i]["memory"], "hot");
    EXPECT_EQ(json[i]["copies"], 1);
    expect_sane(json[i]);
  }
}

TEST(BenchProblems, EverySetThatRunsHereServesItself) {
  for (const InstructionSet set : kInstructionSets) {
    const std::string name(instruction_set_name(set));
    const RunResult result =
        run_nvfp4(quick({"--hot", "--seconds", "0.01", "--threads", "1", "--instruction-set", name, kLinear, kMoe}));
    if (!runs_here(set)) {
      expect_refusal(result, {"--instruction-set", name, "portable"});
      continue;
    }
    for (const auto& figures : json_of(result)) {
      EXPECT_EQ(figures["instruction_set"], name);
      expect_sane(figures);
    }
  }
}

TEST(BenchProblems, ColdOnesHaveManyCopies) {
  nlohmann::json json;
  for (int attempt = 0; attempt < 3; ++attempt) {  // a busy machine takes turns with others
    json = json_of(run_nvfp4(quick({"--seconds", "0.3", "linear/w4a16/n4096/k4096/t1"})));
    ASSERT_EQ(json.size(), 1U);
    if (json[0]["share_of_ceiling"].get<double>() < 1.2) break;
  }
  expect_sane(json[0]);
  EXPECT_EQ(json[0]["memory"], "cold");
  EXPECT_EQ(json[0]["bytes"], 4096.0 * 4096 * 4.5 / 8);
  EXPECT_GT(json[0]["copies"].get<double>() * json[0]["bytes"].get<double>(), 0x1p30);
}

TEST(BenchProblems, TextIsATableAndWordsAreElsewhere) {
  const RunResult result = run_nvfp4({"bench", "--hot", "--seconds", "0.01", kLinear, kMoe});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("problem ")) << result.out;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 3) << result.out;
  const std::size_t linear = result.out.find("\n" + kLinear + " ");
  ASSERT_NE(linear, std::string::npos) << result.out;
  EXPECT_NE(result.out.find("\n" + kMoe + " ", linear), std::string::npos) << result.out;
  EXPECT_NE(result.err.find(kMoe), std::string::npos);
  EXPECT_EQ(run_nvfp4({"bench", "--hot", "--seconds", "0.01", "-q", kLinear}).err, "");
}

TEST(BenchProblems, BadOnesAreRefusedBeforeAnythingIsMeasured) {
  expect_refusal(run_nvfp4({"bench", "disk"}), {"nvfp4 bench", "disk", "linear/w4a16/n4096/k2048/t1"});
  expect_refusal(run_nvfp4({"bench", kLinear, "linear/w4a16/n512/k250/t1"}), {"linear/w4a16/n512/k250/t1", "\"k250\""});
  expect_refusal(run_nvfp4({"bench", "--instruction-set", "sse9", kLinear}), {"--instruction-set", "sse9", "portable"});
  expect_refusal(run_nvfp4({"bench", "--seconds", "0", kLinear}), {"--seconds"});
  expect_refusal(run_nvfp4({"bench", "--threads", "many", kLinear}), {"--threads"});
  expect_refusal(run_nvfp4({"bench", "--kernel", "moe_nvfp4_bf16_wgmma", kMoe}), {"--kernel", "--device cuda"});
  expect_refusal(run_nvfp4({"bench", "-q", "moe/w4a16/swigluoai/h64/i32/e4/k2/t1"}), {"swigluoai", "--device cuda"});
  // More than any machine has.
  expect_refusal(run_nvfp4({"bench", "linear/f32/n16777216/k16777216/t1"}), {"n16777216/k16777216", "TB"});
}

Arguments on_device(const std::string& device, const Arguments& more) {
  return joined({"bench", "--device", device}, more);
}

TEST(BenchDevices, BadArgumentsAreRefusedWhereverThisRuns) {
  for (const std::string device :
       {"tpu", "", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda0", "CUDA", "cuda:99999999999"}) {
    expect_refusal(run_nvfp4(on_device(device, {kLinear})), {"--device \"" + device + "\"", "cpu, cuda"});
  }
  expect_refusal(run_nvfp4(on_device("cuda", {"disk"})), {"disk", "linear/w4a16/n4096/k2048/t1"});
  expect_refusal(run_nvfp4(on_device("cuda", {"--threads", "2", kLinear})), {"--threads", "--device cpu"});
  expect_refusal(run_nvfp4(on_device("cuda", {"--instruction-set", "portable", kLinear})), {"--instruction-set"});
}

TEST(BenchDevices, WithoutADeviceOneLineSaysWhy) {
  if (Device::count().ok()) GTEST_SKIP() << "there is a device";
  for (const std::string device : {"cuda", "cuda:0", "cuda:3"}) {
    for (const std::string& problem : {kLinear, kMoe}) {
      expect_refusal(run_nvfp4(on_device(device, {problem})), {"CUDA: ", Device::count().error().message});
    }
  }
}

TEST(BenchDevices, TheCpuIsMeasuredUnlessAnotherIsNamed) {
  const auto json = json_of(run_nvfp4(joined(quick({"--hot", "--seconds", "0.01"}), {"--device", "cpu", kLinear})));
  ASSERT_EQ(json.size(), 1U);
  EXPECT_GT(json[0]["threads"].get<int>(), 0);
  expect_sane(json[0]);
}

}  // namespace
}  // namespace nvfp4
