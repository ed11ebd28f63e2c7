// The kernels that serve each published checkpoint on each generation of GPUs, as people reviewed them. A change of a
// kernel's predicate or threshold shows here: tools/plan_goldens.sh writes the tables anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "plan/inventory.h"
#include "plan/plan_text.h"
#include "plan/planner.h"

namespace nvfp4::plan {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> layer_lists() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(NVFP4_GOLDEN_PLANS)) {
    if (entry.path().extension() == ".layers") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class PlanGolden : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(PlanGolden, IsAsReviewed) {
  const auto inventory = parse_layers(read(GetParam()), GetParam().string());
  ASSERT_TRUE(inventory) << inventory.error().to_string();
  std::string text;
  for (const std::string key : {"sm80", "sm86", "sm89", "sm90", "sm120", "sm121"}) {
    text += "== " + key + "\n";
    const auto plan = make_plan(inventory->layers, *find_machine(key), {});
    ASSERT_TRUE(plan) << plan.error().to_string();
    for (const PlannedLayer& line : plan->layers) text += layer_line(line) + "\n";
  }
  std::filesystem::path golden = GetParam();
  EXPECT_EQ(text, read(golden.replace_extension(".txt")));
}

// On every generation, whatever is quantised in a published checkpoint has a kernel.
TEST_P(PlanGolden, WhatIsQuantisedIsServed) {
  const auto inventory = parse_layers(read(GetParam()), GetParam().string());
  ASSERT_TRUE(inventory);
  for (const KnownDevice& device : known_devices()) {
    for (const ActivationRequest request :
         {ActivationRequest::kCheckpoint, ActivationRequest::kW4A16, ActivationRequest::kW4A4}) {
      Deployment deployment;
      deployment.activations = request;
      const auto plan = make_plan(inventory->layers, Gpu{device.caps, device.rates}, deployment);
      ASSERT_TRUE(plan) << plan.error().to_string();
      for (const PlannedLayer& line : plan->layers) {
        if (line.layer.weight == kernels::WeightFormat::kF32) continue;
        EXPECT_FALSE(line.ranges.empty()) << device.key << " " << layer_text(line.layer);
      }
    }
  }
}

std::string name_of(const testing::TestParamInfo<std::filesystem::path>& info) {
  std::string name = info.param.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Published, PlanGolden, testing::ValuesIn(layer_lists()), name_of);

}  // namespace
}  // namespace nvfp4::plan
