// The embedded models solve their word problems under every instruction set that runs here.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "base/cpu_features.h"
#include "support/instruction_sets.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = fs::path(NVFP4_FIXTURES) / "../../models";

class Pocket : public testing::TestWithParam<std::tuple<std::string, InstructionSet>> {};

TEST_P(Pocket, SolvesItsProblems) {
  const auto& [model, set] = GetParam();
  const int num_problems = set == InstructionSet::kPortable ? 3 : 12;  // plain loops take their time
  const auto json = support::json_of(support::run_nvfp4(
      {"eval", kModels / model, "--problems", kModels / "pocket/problems.jsonl", "--limit",
       std::to_string(num_problems), "--json", "-q", "--instruction-set", std::string(instruction_set_name(set))}));
  EXPECT_EQ(json["num_problems"], num_problems);
  EXPECT_EQ(json["num_exact"], num_problems);
  EXPECT_EQ(json["cpu"]["instruction_set"], instruction_set_name(set));
}

INSTANTIATE_TEST_SUITE_P(Models, Pocket,
                         testing::Combine(testing::Values("pocket", "pocket-w4a16-modelopt",
                                                          "pocket-w4a16-compressed-tensors"),
                                          testing::ValuesIn(support::instruction_sets())),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param) + "_" +
                                              std::string(instruction_set_name(std::get<1>(test.param)));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nvfp4
