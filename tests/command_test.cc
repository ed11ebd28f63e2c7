// The command as people and programs use it: exit codes, JSON keys, .npy files, help for slips.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/checkpoint_builder.h"
#include "support/fixtures.h"
#include "support/run_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using support::kFixtures;
using support::run_command;
using support::RunResult;
using testing::HasSubstr;

RunResult run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), NVFP4_COMMAND);
  return run_command(arguments);
}

std::string one_error_line(const RunResult& result) {
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("error: ")) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  return result.err;
}

TEST(Inspect, PromisesItsJsonKeys) {
  const RunResult result = run({"inspect", kFixtures / "modelopt_nvfp4_qwen3_moe", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["producer"], "modelopt 0.47.0");
  EXPECT_EQ(json["architecture"], "Qwen3MoeForCausalLM");
  for (const char* key :
       {"directory", "num_files", "num_bytes", "num_parameters", "kv_cache", "conflicts", "repairs", "ignored"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  std::size_t num_weights = 0;
  std::size_t num_bytes = 0;
  for (const Json& scheme : json["schemes"]) {
    num_weights += scheme["weights"].get<std::size_t>();
    num_bytes += scheme["bytes"].get<std::size_t>();
  }
  EXPECT_EQ(num_weights, json["weights"].size());
  EXPECT_LT(num_bytes, json["num_bytes"].get<std::size_t>());
  for (const Json& weight : json["weights"]) {
    for (const char* key : {"name", "shape", "scheme", "num_shards", "scale2", "input_scale"})
      EXPECT_TRUE(weight.contains(key)) << key;
    if (weight["scheme"] == "nvfp4_w4a4") {
      EXPECT_EQ(weight["scale2"].size(), 1U);
      EXPECT_TRUE(weight["input_scale"].is_number());
    } else {
      EXPECT_TRUE(weight["scale2"].is_null());
      EXPECT_TRUE(weight["input_scale"].is_null());
    }
  }
}

TEST(Inspect, ShowsOneWeightUnderEveryNameItHas) {
  const fs::path model = kFixtures / "compressed_nvfp4_qwen3_moe";
  const std::string module = "model.layers.1.mlp.experts.0.up_proj";
  const RunResult by_module = run({"inspect", model, "--tensor", module});
  ASSERT_EQ(by_module.exit_code, 0) << by_module.err;
  EXPECT_THAT(by_module.out, HasSubstr("nvfp4_w4a4"));
  EXPECT_EQ(run({"inspect", model, "--tensor", module + ".weight"}).out, by_module.out);
  EXPECT_EQ(run({"inspect", model, "--tensor", module + ".weight_packed"}).out, by_module.out);
  const Json json = Json::parse(run({"inspect", model, "--tensor", module, "--json"}).out);
  EXPECT_EQ(json["scale_convention"], "divisor");
  EXPECT_EQ(json["stored"]["data"]["name"], module + ".weight_packed");
}

TEST(Inspect, FindsModelsInTheCache) {
  ASSERT_EQ(::setenv("HF_HUB_CACHE", (kFixtures / "hub_cache").c_str(), 1), 0);
  std::string folder;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFixtures / "hub_cache")) {
    if (entry.path().filename().string().starts_with("models--")) folder = entry.path().filename().string();
  }
  std::string id = folder.substr(std::string("models--").size());
  id.replace(id.find("--"), 2, "/");
  const RunResult result = run({"inspect", id});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(one_error_line(run({"inspect", "nobody/nothing"})), HasSubstr("hf download nobody/nothing"));
  ::unsetenv("HF_HUB_CACHE");
}

TEST(Dequantize, WritesWhatTheProducersLibraryGives) {
  support::TemporaryDirectory directory;
  const std::string out = directory.path() / "w.npy";
  const Json golden = Json::parse(support::read_file(kFixtures / "compressed_nvfp4_qwen3_moe.golden.json"));
  const auto is_nvfp4 = [](const Json& w) { return w["scheme"] == "nvfp4_w4a4"; };
  const Json weight = *std::find_if(golden["weights"].begin(), golden["weights"].end(), is_nvfp4);
  const RunResult result = run({"dequantize", kFixtures / "compressed_nvfp4_qwen3_moe", weight["name"], "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string file = support::read_file(out);
  ASSERT_GT(file.size(), 128U);
  EXPECT_EQ(file.substr(1, 5), "NUMPY");
  const std::size_t header_bytes = 10 + static_cast<unsigned char>(file[8]) + 256 * static_cast<unsigned char>(file[9]);
  EXPECT_EQ(header_bytes % 64, 0U);
  EXPECT_THAT(file.substr(0, header_bytes), HasSubstr(fmt::format("'shape': ({}, {}), ", weight["shape"][0].get<int>(),
                                                                  weight["shape"][1].get<int>())));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; header_bytes + i * 4 < file.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, file.data() + header_bytes + i * 4, 4);
    sum += (i + 1) * bits;
  }
  EXPECT_EQ(fmt::format("{:016x}", sum), weight["checksum"].get<std::string>());
}

TEST(Dequantize, LeavesNothingBehindWhenItFails) {
  support::TemporaryDirectory directory;
  const fs::path model = kFixtures / "modelopt_nvfp4_qwen3_moe";
  EXPECT_THAT(one_error_line(run({"dequantize", model, "model.norm", "--out", directory.path() / "no" / "w.npy"})),
              HasSubstr("w.npy"));
  EXPECT_THAT(one_error_line(run({"dequantize", model, "model.norn", "--out", directory.path() / "w.npy"})),
              HasSubstr("did you mean \"model.norm.weight\""));
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(Check, ExitCodesSayWhatItFound) {
  EXPECT_EQ(run({"check", kFixtures / "modelopt_nvfp4_qwen3_moe"}).exit_code, 0);
  const RunResult sick = run({"check", kFixtures / "compressed_nvfp4_unequal_gate_up", "--json"});
  EXPECT_EQ(sick.exit_code, 1);
  const Json json = Json::parse(sick.out);
  EXPECT_FALSE(json["healthy"]);
  EXPECT_THAT(json["findings"][0]["rule"].get<std::string>(), "scale2_ratio");
  one_error_line(run({"check", kFixtures / "no_such_model"}));
}

TEST(Command, HelpsWithSlips) {
  EXPECT_THAT(one_error_line(run({"inpsect", "x"})), HasSubstr("did you mean \"inspect\""));
  EXPECT_THAT(one_error_line(run({"frobnicate"})), HasSubstr("is not a command"));
  EXPECT_THAT(one_error_line(run({"inspect"})), HasSubstr("DIR"));
  EXPECT_THAT(one_error_line(run({"inspect", kFixtures / "plain_fp32_llama", "--jsn"})), HasSubstr("--jsn"));
  EXPECT_EQ(run({"--help"}).exit_code, 0);
  EXPECT_EQ(run({"--version"}).exit_code, 0);
}

}  // namespace
}  // namespace nvfp4
