// nvfp4 plan and nvfp4 devices: what they print is what runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "device/device.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "support/nvfp4_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using support::expect_refusal;
using support::json_of;
using support::run_nvfp4;
using testing::HasSubstr;

const std::string kFixtureRoot = NVFP4_FIXTURES;
const std::string kMixed = kFixtureRoot + "/modelopt_mixed_qwen3_moe";

// Kind and scheme -> kernels and number of weights.
using Served = std::map<std::string, std::string>;

class PlanIsWhatRuns : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(PlanIsWhatRuns, OnThisProcessor) {
  const auto& [model, activations] = GetParam();
  const std::string directory = kFixtureRoot + "/parity/" + model;
  const nlohmann::json ran =
      json_of(run_nvfp4({"bench", "engine", directory, "--input-len", "2", "--output-len", "2", "--num-prompts", "1",
                         "--activations", activations, "--json", "--quiet"}));
  const nlohmann::json plan = json_of(run_nvfp4({"plan", directory, "--activations", activations, "--json"}));
  Served expected;
  for (const auto& line : ran["kernels"]) {
    expected[line["layer_kind"].get<std::string>() + " " + line["scheme"].get<std::string>()] = line["kernel"];
  }
  Served planned;
  for (const auto& line : plan["layers"]) {
    planned[line["layer_kind"].get<std::string>() + " " + line["scheme"].get<std::string>()] =
        line["kernels"][0]["kernel"];
  }
  EXPECT_EQ(planned, expected);
}

// The table of a run is the plan's, for as many tokens as a step has.
TEST_P(PlanIsWhatRuns, TheTableIsThePlan) {
  const auto& [model, activations] = GetParam();
  const std::string directory = kFixtureRoot + "/parity/" + model;
  const nlohmann::json ran =
      json_of(run_nvfp4({"bench", "engine", directory, "--input-len", "2", "--output-len", "2", "--num-prompts", "1",
                         "--activations", activations, "--json", "--quiet"}));
  nlohmann::json plan =
      json_of(run_nvfp4({"plan", directory, "--activations", activations, "--max-tokens", "512", "--json"}));
  plan.erase("architecture");
  EXPECT_EQ(ran["plan"], plan);
}

TEST(PlanCommand, OfAConfigurationIsWhatRuns) {
  for (const bool is_tied : {false, true}) {
    support::TemporaryDirectory directory;
    directory.write("config.json", nlohmann::json{{"model_type", "qwen3_moe"},
                                                  {"hidden_size", 128},
                                                  {"num_hidden_layers", 3},
                                                  {"num_attention_heads", 4},
                                                  {"num_key_value_heads", 2},
                                                  {"head_dim", 32},
                                                  {"vocab_size", 512},
                                                  {"intermediate_size", 256},
                                                  {"moe_intermediate_size", 64},
                                                  {"num_experts", 8},
                                                  {"num_experts_per_tok", 2},
                                                  {"mlp_only_layers", {1}},
                                                  {"max_position_embeddings", 64},
                                                  {"tie_word_embeddings", is_tied}}
                                       .dump());
    const std::string config = (directory.path() / "config.json").string();
    const nlohmann::json ran =
        json_of(run_nvfp4({"bench", "engine", "--dummy-weights", "--config", config, "--input-len", "2", "--output-len",
                           "2", "--num-prompts", "1", "--json", "--quiet"}));
    nlohmann::json plan = json_of(run_nvfp4({"plan", "--config", config, "--max-tokens", "512", "--json"}));
    plan.erase("architecture");
    EXPECT_EQ(ran["plan"], plan);
    std::size_t num_tied = 0;
    for (const auto& line : ran["plan"]["layers"]) num_tied += line["problem"].get<std::string>().ends_with("/tied");
    EXPECT_EQ(num_tied, is_tied ? 1U : 0U);
  }
}

TEST(PlanCommand, PlansForAMachineThatIsNotHere) {
  const auto result = run_nvfp4({"plan", kMixed, "--device", "sm120"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("NVIDIA GeForce RTX 5090 (sm120)"));
  EXPECT_THAT(result.out, HasSubstr("moe_nvfp4_nvfp4_mma"));
  EXPECT_THAT(result.out, HasSubstr("linear_fp8_bf16_mma"));
  EXPECT_THAT(result.out, HasSubstr("only for nvfp4 activations"));
}

TEST(PlanCommand, PrintsJson) {
  const nlohmann::json plan = json_of(run_nvfp4({"plan", kMixed, "--device", "sm90", "--json", "--tp", "2"}));
  EXPECT_EQ(plan["machine"]["sm"], 90);
  EXPECT_EQ(plan["tensor_parallel"], 2);
  EXPECT_EQ(plan["activations"], "checkpoint");
  bool has_experts = false;
  for (const auto& line : plan["layers"]) {
    EXPECT_GT(line["weight_bytes"], 0);
    EXPECT_FALSE(line["kernels"].empty());
    if (line["layer_kind"] != "mlp.experts") continue;
    has_experts = true;
    EXPECT_EQ(line["kernels"][0]["kernel"], "moe_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(line["kernels"][0]["last_tokens"], 64);
    EXPECT_GT(line["kernels"][0]["times"][0]["us"], 0);
    EXPECT_FALSE(line["not_taken"].empty());
  }
  EXPECT_TRUE(has_experts);
}

TEST(PlanCommand, TheCapsThatDevicesPrintsAreAMachine) {
  support::TemporaryDirectory directory;
  const auto printed = run_nvfp4({"devices", "--device", "sm90", "--json"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  nlohmann::json caps = nlohmann::json::parse(printed.out);
  caps["name"] = "half an H200";
  caps["num_sms"] = 66;
  directory.write("half.json", caps.dump());
  const auto result = run_nvfp4({"plan", kMixed, "--device", (directory.path() / "half.json").string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("half an H200 (sm90)"));
}

TEST(PlanCommand, OfAConfiguration) {
  support::TemporaryDirectory directory;
  directory.write("config.json", R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 256,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 512,
      "intermediate_size": 512})");
  const auto result = run_nvfp4({"plan", "--config", (directory.path() / "config.json").string(), "--device", "sm89"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Qwen3ForCausalLM on NVIDIA GeForce RTX 4090"));
}

// Unserved layers are a finding, not bad input.
TEST(PlanCommand, ALayerThatNothingServesIsAFinding) {
  support::TemporaryDirectory directory;
  directory.write("a.layers", "1 mixer.gate linear/f32/n128/k2688\n");
  const auto result =
      run_nvfp4({"plan", "--layers", (directory.path() / "a.layers").string(), "--device", "sm90", "--short"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "mixer.gate fp32 no kernel [row_major]\n");
}

TEST(PlanCommand, TransposedWeightsAreAFinding) {
  const auto result = run_nvfp4({"plan", kFixtureRoot + "/documented_transposed_experts", "--device", "sm90"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.out, HasSubstr("is stored transposed"));
}

// Every checkpoint that can be opened can be planned, on every kind of machine.
TEST(PlanCommand, OfEveryFixture) {
  for (const auto& entry : std::filesystem::directory_iterator(kFixtureRoot)) {
    if (!std::filesystem::exists(entry.path() / "config.json")) continue;
    for (const char* device : {"cpu", "sm80", "sm90", "sm120"}) {
      const auto result = run_nvfp4({"plan", entry.path().string(), "--device", device, "--short"});
      EXPECT_LE(result.exit_code, 1) << entry.path() << result.err;
      EXPECT_NE(result.out, "") << entry.path();
    }
  }
}

TEST(PlanCommand, RefusesWhatCannotBe) {
  expect_refusal(run_nvfp4({"plan"}), {"give a checkpoint directory, or --config FILE, or --layers FILE"});
  expect_refusal(run_nvfp4({"plan", kMixed, "--device", "sm9O"}), {"did you mean \"sm90\"?"});
  expect_refusal(run_nvfp4({"plan", kMixed, "--device", "./none.json"}), {"none.json"});
  expect_refusal(run_nvfp4({"plan", kMixed, "--device", "sm90", "--kernel", "mlp.expert=moe_nvfp4_bf16_wgmma"}),
                 {"did you mean \"mlp.experts\"?"});
  expect_refusal(run_nvfp4({"plan", kMixed, "--device", "sm90", "--kernel", "mlp.experts=moe_nvfp4_nvfp4_mma"}),
                 {"only for compute capabilities 12.0 and 12.1", "these serve it: moe_nvfp4_bf16_wgmma"});
  expect_refusal(run_nvfp4({"plan", kMixed, "--kernel", "nonsense"}), {"LAYERKIND=NAME"});
  expect_refusal(run_nvfp4({"plan", kMixed, "--tp", "0"}), {"--tp"});
}

TEST(SelftestCommand, EveryKernelOfAModelPasses) {
  const nlohmann::json tests = json_of(run_nvfp4({"selftest", kMixed, "--json"}));
  EXPECT_GT(tests["tests"].size(), 3U);
  for (const auto& test : tests["tests"]) {
    EXPECT_TRUE(test["passed"]) << test.dump();
    EXPECT_FALSE(test["layer_kinds"].empty());
  }
  const auto text = run_nvfp4({"selftest", kMixed, "--kernel", "mlp.experts=linear_nvfp4_nvfp4_loops"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("linear_nvfp4_nvfp4_loops"));
  EXPECT_THAT(text.out, testing::Not(HasSubstr("WRONG")));
  expect_refusal(run_nvfp4({"selftest", kMixed, "--config", "x.json"}), {"nvfp4 selftest", "give a checkpoint"});
}

// Without a model: every kernel whose instructions are here.
TEST(SelftestCommand, EveryKernelOfTheBuildPasses) {
  const nlohmann::json all = json_of(run_nvfp4({"selftest", "--json"}));
  std::set<std::string> tested;
  for (const auto& test : all["tests"]) {
    EXPECT_TRUE(test["passed"]) << test.dump();
    tested.insert(test["kernel"]);
  }
  for (const kernels::LinearKernel& kernel : kernels::linear_kernels()) {
    EXPECT_EQ(tested.contains(std::string(kernel.name)), runs_here(kernel.needs)) << kernel.name;
  }
}

// Where there is a GPU: selftest_command_cuda_test.
TEST(SelftestCommand, WithoutAGpuSaysSo) {
  if (!Device::count().ok()) {
    expect_refusal(run_nvfp4({"selftest", "--device", "cuda"}), {"CUDA"});
    expect_refusal(run_nvfp4({"selftest", kMixed, "--device", "cuda"}), {"CUDA"});
  }
  expect_refusal(run_nvfp4({"selftest", "--device", "sm90"}), {"\"sm90\" is not here", "cpu and cuda"});
}

// One test for all layers whose kernel and columns are the same, however many layers there are.
TEST(SelftestCommand, CostsTheSameForAnyNumberOfLayers) {
  support::TemporaryDirectory directory;
  const auto num_tests = [&](const std::string& layers) {
    directory.write("a.layers", layers);
    return json_of(run_nvfp4({"selftest", "--layers", (directory.path() / "a.layers").string(), "--json"}))["tests"]
        .size();
  };
  EXPECT_EQ(num_tests("1 self_attn.q_proj linear/w4a4/n4096/k2048\n"), 1U);
  EXPECT_EQ(num_tests("48 self_attn.q_proj linear/w4a4/n4096/k2048\n48 self_attn.k_proj linear/w4a4/n512/k2048\n"), 1U);
  EXPECT_EQ(num_tests("1 self_attn.q_proj linear/w4a4/n4096/k2048\n1 self_attn.o_proj linear/w4a4/n2048/k4096\n"), 2U);
}

TEST(DevicesCommand, SaysWhatIsHereAndWhatIsKnown) {
  const auto result = run_nvfp4({"devices"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* text : {"here", "built for", "sm80, a100", "sm121, gb10", "cpu-avx512-vnni"}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
  const nlohmann::json all = json_of(run_nvfp4({"devices", "--json"}));
  EXPECT_EQ(all["known"]["sm90"]["num_sms"], 132);
  EXPECT_GT(all["cpu"]["num_workers"], 0);
  EXPECT_FALSE(all["built_for"]["instruction_sets"].empty());
}

std::string name_of(const testing::TestParamInfo<std::tuple<std::string, std::string>>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) == 0 ? '_' : c;
  return name;
}
INSTANTIATE_TEST_SUITE_P(Models, PlanIsWhatRuns,
                         testing::Combine(testing::Values("compressed_w4a16_qwen3_bias",
                                                          "compressed_w4a4_mistral_window", "compressed_w4a4_qwen3_moe",
                                                          "modelopt_mixed_qwen3_moe", "modelopt_w4a4_llama",
                                                          "modelopt_w4a16_qwen3_moe", "plain_llama", "plain_qwen3_moe"),
                                          testing::Values("checkpoint", "w4a16", "w4a4")),
                         name_of);

}  // namespace
}  // namespace nvfp4
