// `nvfp4 tune --device cuda` where there is a device: its table has every kernel that serves, and plans follow it.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "support/nvfp4_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using support::json_of;
using support::run_nvfp4;

TEST(TuneOnDevice, PlansFollowWhatWasMeasured) {
  support::TemporaryDirectory folder;
  folder.write("a.layers",
               "1 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8\n"
               "1 self_attn.q_proj linear/w4a4/n4096/k2048\n"
               "1 self_attn.o_proj linear/w8a8/n2048/k4096\n"
               "1 lm_head linear/bf16/n32768/k2048\n");
  const std::string layers = (folder.path() / "a.layers").string();
  const std::string file = (folder.path() / "t.json").string();
  const auto tuned = run_nvfp4({"tune", "--layers", layers, "--device", "cuda", "--max-tokens", "100", "--seconds",
                                "0.001", "--out", file, "-q"});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  EXPECT_EQ(tuned.err, "");
  const nlohmann::json table = nlohmann::json::parse(support::read_file(file));
  std::map<std::string, nlohmann::json> measured;
  for (const auto& problem : table["problems"]) measured[problem["problem"]] = problem["tokens"];
  const nlohmann::json plan = json_of(
      run_nvfp4({"plan", "--layers", layers, "--device", "cuda", "--max-tokens", "100", "--table", file, "--json"}));
  EXPECT_EQ(table["machine"], plan["machine"]);
  ASSERT_EQ(plan["layers"].size(), 4U);
  for (const auto& line : plan["layers"]) {
    const nlohmann::json& tokens = measured[line["problem"]];
    ASSERT_EQ(tokens.size(), 8U) << line["problem"];  // 1, 2, 4 ... 64, 100
    EXPECT_EQ(tokens.back()["num_tokens"], 100);
    for (const auto& range : line["kernels"]) {
      EXPECT_TRUE(range["reason"].get<std::string>().starts_with("measured ")) << range;
      for (const auto& row : tokens) {
        if (row["num_tokens"] < range["first_tokens"] || row["num_tokens"] > range["last_tokens"]) continue;
        EXPECT_TRUE(row["us"].contains(range["kernel"])) << range << row;
      }
    }
  }
}

}  // namespace
}  // namespace nvfp4
