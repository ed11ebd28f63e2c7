// nvfp4 tune measures, and what takes --table chooses by it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/tune_device.h"
#include "apps/tune_problem.h"
#include "support/byte_model.h"
#include "support/nvfp4_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using support::Arguments;
using support::ByteModel;
using support::expect_refusal;
using support::joined;
using support::json_of;
using support::run_nvfp4;
using testing::ElementsAre;
using testing::HasSubstr;

// --- what is measured

plan::Candidate candidate(std::string_view kernel, std::uint32_t most = 1U << 20U) {
  return {kernel, "one", [most](std::uint32_t tokens) { return tokens <= most; }};
}

// "1: a 3 b 4" for each number of tokens.
std::vector<std::string> measured(const std::vector<plan::Candidate>& candidates, std::uint32_t max_tokens,
                                  const apps::MeasureKernel& measure) {
  std::vector<std::string> out;
  for (const plan::MeasuredTokens& tokens : apps::measure_problem("p", candidates, max_tokens, measure).tokens) {
    std::string text = std::to_string(tokens.num_tokens) + ":";
    for (const plan::Measurement& one : tokens.kernels) {
      text += " " + one.kernel + " " + std::to_string(static_cast<int>(one.us));
    }
    out.push_back(text);
  }
  return out;
}

TEST(TuneProblem, MeasuresPowersOfTwoAndTheLast) {
  const auto measure = [](std::string_view, std::uint32_t tokens) { return 10.0 * tokens; };
  EXPECT_THAT(measured({candidate("a"), candidate("b", 2)}, 6, measure),
              ElementsAre("1: a 10 b 10", "2: a 20 b 20", "4: a 40", "6: a 60"));
  EXPECT_THAT(measured({candidate("a")}, 1, measure), ElementsAre("1: a 10"));
}
TEST(TuneProblem, WhatIsMuchSlowerIsNotMeasuredForMore) {
  const auto measure = [](std::string_view kernel, std::uint32_t tokens) {
    return kernel == "a" ? 1.0 : tokens == 1 ? 30.0 : 31.0;
  };
  EXPECT_THAT(measured({candidate("a"), candidate("b")}, 4, measure),
              ElementsAre("1: a 1 b 30", "2: a 1 b 31", "4: a 1"));
}
TEST(TuneProblem, WhatCannotBeMeasuredIsLeftOut) {
  const auto measure = [](std::string_view kernel, std::uint32_t tokens) {
    return kernel == "b" && tokens == 2 ? 0.0 : 5.0;
  };
  EXPECT_THAT(measured({candidate("a"), candidate("b")}, 4, measure), ElementsAre("1: a 5 b 5", "2: a 5", "4: a 5"));
  EXPECT_THAT(measured({candidate("a")}, 4, [](std::string_view, std::uint32_t) { return 0.0; }), testing::IsEmpty());
}

// --- as a problem of nvfp4 bench, for GPUs

std::string bench_problem(std::string_view layer, std::uint32_t num_tokens) {
  const auto problem = apps::bench_problem_of(*plan::parse_layer(layer, "test"), 8, num_tokens);
  return problem ? problem->to_string() : problem.error().to_string();
}

TEST(TuneDevice, LayersAreProblemsOfBench) {
  EXPECT_EQ(bench_problem("1 a linear/w4a16/n64/k128/bias", 5), "linear/w4a16/n64/k128/t5");
  EXPECT_EQ(bench_problem("1 a linear/w4a4-token/n64/k128", 5), "linear/w4a4/n64/k128/t5");
  EXPECT_EQ(bench_problem("1 a linear/w8a8/n64/k128", 1), "linear/w8a8/n64/k128/t1");
  EXPECT_EQ(bench_problem("1 a linear/fp8/n64/k128", 1), "linear/fp8/n64/k128/t1");
  EXPECT_EQ(bench_problem("1 a linear/bf16/n64/k128", 8192), "linear/bf16/n64/k128/t8192");
  for (const char* function : {"silu", "gelu_tanh", "swigluoai", "relu2"}) {
    EXPECT_EQ(bench_problem(std::string("1 e moe/w4a4/") + function + "/h64/i32/e8/k2", 3),
              std::string("moe/w4a4/") + function + "/h64/i32/e8/k2/t3");
  }
  EXPECT_THAT(bench_problem("1 e moe/fp8/silu/h64/i32/e8/k2", 3), HasSubstr("scheme of experts"));
}

TEST(TuneDevice, ARankHasSomeOfTheExpertsThatTokensChoose) {
  const plan::Layer shard = *plan::parse_layer("1 e moe/w4a16/silu/h64/i32/e4/k4", "test");
  const auto problem = apps::bench_problem_of(shard, 32, 10);
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->num_experts, 4U);
  EXPECT_EQ(problem->num_ids(), 32U);
  const auto whole = apps::bench_problem_of(*plan::parse_layer("1 e moe/w4a16/silu/h64/i32/e32/k4", "test"), 32, 10);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->num_global_experts, 0U);
  EXPECT_DOUBLE_EQ(problem->operations() * 8, whole->operations());
}

// --- the command

class TuneCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = std::make_unique<ByteModel>("modelopt_mixed_qwen3_moe");
    const auto tuned =
        run_nvfp4({"tune", model_->path(), "--out", model_->file("t.json"), "--max-tokens", "4", "--seconds", "0.001"});
    EXPECT_EQ(tuned.exit_code, 0) << tuned.err;
    EXPECT_EQ(tuned.out, "");
    EXPECT_THAT(tuned.err, HasSubstr("linear/"));
    table_ = nlohmann::json::parse(support::read_file(model_->file("t.json")), nullptr, false);
  }
  static void TearDownTestSuite() { model_.reset(); }

  [[nodiscard]] static Arguments with_table(const Arguments& arguments, const nlohmann::json& table) {
    model_->write("changed.json", table);
    return joined(arguments, {"--table", model_->file("changed.json")});
  }
  [[nodiscard]] static Arguments plan() { return {"plan", model_->path(), "--max-tokens", "4", "--json"}; }
  // Under which a table has a layer.
  static std::string problem_of(const nlohmann::json& line) {
    const std::string kind = line["layer_kind"];
    const std::string problem = line["problem"];
    if (!kind.starts_with("mlp.experts")) return problem;
    return problem + (kind.ends_with("down_proj") ? " down_proj" : " up_proj");
  }

  static std::unique_ptr<ByteModel> model_;
  static nlohmann::json table_;
};
std::unique_ptr<ByteModel> TuneCommand::model_;
nlohmann::json TuneCommand::table_;

TEST_F(TuneCommand, MeasuresEveryKernelThatServes) {
  ASSERT_FALSE(table_.is_discarded());
  const nlohmann::json plan = json_of(run_nvfp4(TuneCommand::plan()));
  EXPECT_EQ(table_["machine"], plan["machine"]);
  std::map<std::string, std::size_t> num_measured;  // of one token
  for (const auto& problem : table_["problems"]) {
    EXPECT_EQ(problem["tokens"].back()["num_tokens"], 4);
    num_measured[problem["problem"]] = problem["tokens"][0]["us"].size();
    for (const auto& [kernel, us] : problem["tokens"][0]["us"].items()) {
      EXPECT_GT(us, 0);
      EXPECT_EQ(table_["kernels"][kernel], 1);
    }
  }
  for (const auto& line : plan["layers"]) {
    if (line["kernels"][0]["kernel"] == "embedding_loops") continue;
    std::size_t num_serving = 1;
    for (const auto& other : line["not_taken"]) {
      num_serving += other["reason"].get<std::string>().starts_with("serves it, too");
    }
    EXPECT_EQ(num_measured[problem_of(line)], num_serving) << problem_of(line);
  }
}

// A table in which the last kernel by name is the only one.
TEST_F(TuneCommand, PlansAndRunsChooseByTheTable) {
  nlohmann::json table = table_;
  std::map<std::string, std::string> expected;
  for (auto& problem : table["problems"]) {
    std::string last;
    for (const auto& [kernel, us] : problem["tokens"][0]["us"].items()) last = std::max(last, kernel);
    for (auto& tokens : problem["tokens"]) tokens["us"] = {{last, 1.0}};
    expected[problem["problem"]] = last;
  }
  const nlohmann::json planned = json_of(run_nvfp4(with_table(plan(), table)));
  EXPECT_EQ(planned["table"], model_->file("changed.json"));
  const nlohmann::json ran = json_of(run_nvfp4(with_table(
      {"run", model_->path(), "--prompt", "hello", "--max-tokens", "6", "--ignore-eos", "--json", "-q"}, table)));
  EXPECT_EQ(ran["tokens"].size(), 6U);
  for (const nlohmann::json& layers : {planned["layers"], ran["plan"]["layers"]}) {
    std::size_t num_found = 0;
    for (const auto& line : layers) {
      if (line["kernels"][0]["kernel"] == "embedding_loops") continue;
      EXPECT_EQ(line["kernels"][0]["kernel"], expected[problem_of(line)]) << problem_of(line);
      EXPECT_THAT(line["kernels"][0]["reason"].get<std::string>(), HasSubstr("measured 1.00 us for 4 tokens"));
      ++num_found;
    }
    EXPECT_GT(num_found, 5U);
  }
}

TEST_F(TuneCommand, TheSameTableGivesTheSamePlan) {
  const auto first = run_nvfp4(with_table(plan(), table_));
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(run_nvfp4(with_table(plan(), table_)).out, first.out);
}

// What a rank's experts take is measured under their own name, and plans for as many ranks choose by it.
TEST_F(TuneCommand, MeasuresWhatARankHas) {
  const Arguments ranks = {"--ep", "2", "--max-tokens", "4"};
  const std::string file = model_->file("ep.json");
  const auto tuned = run_nvfp4(joined({"tune", model_->path(), "--out", file, "--seconds", "0.001", "-q"}, ranks));
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  std::size_t num_of_ranks = 0;
  const nlohmann::json table = nlohmann::json::parse(support::read_file(file));
  for (const auto& problem : table["problems"]) {
    num_of_ranks += problem["problem"].get<std::string>().find(" experts ") != std::string::npos;
  }
  EXPECT_GT(num_of_ranks, 0U);
  const auto num_measured = [&](const Arguments& deployment) {
    const nlohmann::json plan =
        json_of(run_nvfp4(joined({"plan", model_->path(), "--table", file, "--json"}, deployment)));
    std::size_t count = 0;
    for (const auto& line : plan["layers"]) {
      const bool is_of_experts = line["layer_kind"].get<std::string>().starts_with("mlp.experts");
      const bool is_measured = line["kernels"][0]["reason"].get<std::string>().starts_with("measured ");
      count += is_of_experts && is_measured;
    }
    return count;
  };
  EXPECT_GT(num_measured(ranks), 0U);
  EXPECT_EQ(num_measured({"--max-tokens", "4"}), 0U) << "all experts on one rank were not measured";
}

TEST_F(TuneCommand, TablesOfOthersAreRefused) {
  const std::string file = model_->file("changed.json");
  const auto refused = [&](const char* key, const nlohmann::json& value, const std::string& mention) {
    nlohmann::json table = table_;
    table[nlohmann::json::json_pointer(key)] = value;
    for (const Arguments& command : {plan(), Arguments{"run", model_->path(), "--prompt", "x"}}) {
      expect_refusal(run_nvfp4(with_table(command, table)), {file, mention});
    }
  };
  refused("/table", 2, "this program reads 1");
  refused("/build", "0.0.1", "was measured by build 0.0.1");
  refused("/machine/num_workers", 999, "999 workers");
  refused("/machine/f32_gflops", 1.5, "this is another ");
  refused("/kernels/linear_bf16_f32_loops", 7, "has version 7 of kernel linear_bf16_f32_loops");
  refused("/kernels/linear_x", 1, "has kernel linear_x, which this build has not");
  refused("/problems/0/tokens/0/num_tokens", 0, "num_tokens");
  refused("/problems/0/tokens/0/us/linear_y", 3, "linear_y: is not among the kernels of the table");
  refused("/more", 1, "is no key of a table");
  expect_refusal(run_nvfp4(joined(plan(), {"--table", model_->file("none.json")})), {"none.json"});
  expect_refusal(run_nvfp4(joined(plan(), {"--device", "sm90", "--table", model_->file("t.json")})),
                 {"t.json: was measured on", "this is NVIDIA H200 (sm90)", "nvfp4 tune measures anew"});
  expect_refusal(
      run_nvfp4({"run", model_->path(), "--prompt", "x", "--threads", "3", "--table", model_->file("t.json")}),
      {"this is", "3 workers"});
}

TEST_F(TuneCommand, RefusesWhatCannotBeMeasured) {
  expect_refusal(run_nvfp4({"tune"}), {"nvfp4 tune", "give a checkpoint directory"});
  expect_refusal(run_nvfp4({"tune", model_->path(), "--device", "sm90"}), {"--device", "cpu and cuda can be measured"});
  support::TemporaryDirectory folder;
  folder.write("a.layers", "1 embed_tokens embedding/bf16/n64/k64\n");
  expect_refusal(run_nvfp4({"tune", "--layers", (folder.path() / "a.layers").string()}),
                 {"there is nothing to measure"});
}

}  // namespace
}  // namespace nvfp4
