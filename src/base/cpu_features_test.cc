#include "base/cpu_features.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace nvfp4 {
namespace {

TEST(CpuFeatures, NamesGoThereAndBack) {
  for (const InstructionSet set : kInstructionSets) EXPECT_EQ(parse_instruction_set(instruction_set_name(set)), set);
  EXPECT_EQ(parse_instruction_set("avx"), std::nullopt);
  EXPECT_EQ(parse_instruction_set(""), std::nullopt);
}

TEST(CpuFeatures, TheBestSetRunsHere) {
  EXPECT_TRUE(runs_here(InstructionSet::kPortable));
  EXPECT_TRUE(runs_here(best_instruction_set()));
}

TEST(CpuFeatures, EachSetIncludesThoseBeforeIt) {
  for (std::size_t i = 1; i < kInstructionSets.size(); ++i) {
    EXPECT_TRUE(!runs_here(kInstructionSets[i]) || runs_here(kInstructionSets[i - 1]));
  }
}

// The kernel's own list.
TEST(CpuFeatures, AgreesWithTheOperatingSystem) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  if (line.empty()) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  const std::string flags = line + " ";
  const auto has = [&](const std::string& flag) { return flags.find(" " + flag + " ") != std::string::npos; };
  EXPECT_EQ(runs_here(InstructionSet::kAvx2), has("avx2") && has("fma") && has("f16c"));
  const bool avx512 = has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  EXPECT_EQ(runs_here(InstructionSet::kAvx512), avx512);
  EXPECT_EQ(runs_here(InstructionSet::kAvx512Vnni), avx512 && has("avx512_vnni"));
  const bool vbmi = avx512 && has("avx512_vnni") && has("avx512vbmi");
  EXPECT_EQ(runs_here(InstructionSet::kAvx512Vbmi), vbmi);
  EXPECT_EQ(runs_here(InstructionSet::kAvx512Bf16), vbmi && has("avx512_bf16"));
}

}  // namespace
}  // namespace nvfp4
