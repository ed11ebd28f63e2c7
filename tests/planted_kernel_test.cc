// A command with a kernel that is wrong, first in its list (planted/planted_kernel.cc): what runs a model names it,
// refuses it, and is served by the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/byte_model.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

using support::Arguments;
using support::json_of;
using support::run_nvfp4;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kPlanted = "linear_nvfp4_nvfp4_planted";

support::RunResult run_planted(const Arguments& arguments) {
  return support::run_command(support::joined({NVFP4_PLANTED_COMMAND}, arguments));
}

class PlantedKernel : public testing::Test {
 protected:
  [[nodiscard]] Arguments answer(const Arguments& more) const {
    return support::joined({"run", model_.path(), "--prompt", "hello", "--max-tokens", "8", "--ignore-eos"}, more);
  }
  // The kernels of W4A4 layers.
  static std::vector<std::string> w4a4_kernels(const nlohmann::json& json) {
    std::vector<std::string> names;
    for (const auto& line : json["plan"]["layers"]) {
      if (line["scheme"] == "nvfp4_w4a4") names.push_back(line["kernels"][0]["kernel"]);
    }
    return names;
  }

  support::ByteModel model_{"modelopt_w4a4_qwen3_moe"};
};

TEST_F(PlantedKernel, IsNamedAndRefusedAndTheNextServes) {
  const auto said = run_planted(answer({}));
  ASSERT_EQ(said.exit_code, 0) << said.err;
  EXPECT_THAT(said.err, AllOf(HasSubstr("kernel " + kPlanted + " computed a wrong answer here (relative error"),
                              HasSubstr(": refused; linear_nvfp4_nvfp4_"), HasSubstr(" serves in its place")));
  EXPECT_TRUE(said.err.starts_with("kernel ")) << "before the table";
  const nlohmann::json planted = json_of(run_planted(answer({"--json", "-q"})));
  const nlohmann::json usual = json_of(run_nvfp4(answer({"--json", "-q"})));
  EXPECT_EQ(planted["tokens"], usual["tokens"]);
  ASSERT_EQ(planted["selftest"]["refused"].size(), 1U);
  EXPECT_EQ(planted["selftest"]["refused"][0]["kernel"], kPlanted);
  EXPECT_TRUE(usual["selftest"]["refused"].empty());
  EXPECT_FALSE(w4a4_kernels(usual).empty());
  EXPECT_EQ(w4a4_kernels(planted), w4a4_kernels(usual));
}

TEST_F(PlantedKernel, IsNotTakenForAReasonThatThePlanHas) {
  const nlohmann::json json = json_of(run_planted(answer({"--json", "-q"})));
  std::size_t num_lines = 0;
  for (const auto& line : json["plan"]["layers"]) {
    for (const auto& rejection : line["not_taken"]) {
      if (rejection["kernel"] != kPlanted || line["scheme"] != "nvfp4_w4a4") continue;
      EXPECT_THAT(rejection["reason"].get<std::string>(), HasSubstr("computed a wrong answer here"));
      ++num_lines;
    }
  }
  EXPECT_EQ(num_lines, w4a4_kernels(json).size());
}

TEST_F(PlantedKernel, ServesWhenNobodyTests) {
  const auto said = run_planted(answer({"--no-selftest"}));
  ASSERT_EQ(said.exit_code, 0) << said.err;
  EXPECT_THAT(said.err, AllOf(HasSubstr(kPlanted), Not(HasSubstr("refused"))));
  const nlohmann::json json = json_of(run_planted(answer({"--no-selftest", "--json", "-q"})));
  EXPECT_TRUE(json["selftest"].is_null());
  EXPECT_THAT(w4a4_kernels(json), testing::Each(kPlanted));
}

TEST_F(PlantedKernel, AllCommandsThatRunAModelRefuseIt) {
  const Arguments loads[] = {{"logits", model_.path(), "--tokens", "1,2", "--out", model_.file("a.npy")},
                             {"bench", "engine", model_.path(), "--input-len", "2", "--output-len", "2"}};
  for (const Arguments& load : loads) {
    const auto said = run_planted(load);
    EXPECT_EQ(said.exit_code, 0) << said.err;
    EXPECT_THAT(said.err, HasSubstr("kernel " + kPlanted + " computed a wrong answer here")) << load[0];
  }
}

TEST_F(PlantedKernel, CannotBeForced) {
  support::expect_refusal(run_planted(answer({"--kernel", "self_attn.q_proj=" + kPlanted})),
                          {"--kernel self_attn.q_proj=" + kPlanted, "computed a wrong answer here", "these serve it"});
}

TEST_F(PlantedKernel, IsAFindingOfTheSelftest) {
  const auto of_model = run_planted({"selftest", model_.path()});
  EXPECT_EQ(of_model.exit_code, 1) << of_model.err;
  EXPECT_THAT(of_model.out, AllOf(HasSubstr("WRONG   " + kPlanted), HasSubstr("serves in its place")));
  const auto of_all = run_planted({"selftest"});
  EXPECT_EQ(of_all.exit_code, 1) << of_all.err;
  EXPECT_THAT(of_all.out, AllOf(HasSubstr("WRONG   " + kPlanted), HasSubstr("passed  linear_bf16_f32_loops")));
}

}  // namespace
}  // namespace nvfp4
