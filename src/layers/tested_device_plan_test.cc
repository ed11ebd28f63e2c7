// What is tested of a GPU's plan, and what a wrong answer does to it: with answers that are made up.
#include "layers/tested_device_plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/catalogue/device_offers.h"
#include "plan/inventory.h"
#include "plan/plan_text.h"

namespace nvfp4::layers {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kExperts = "48 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8";
constexpr std::string_view kDense = "48 self_attn.q_proj linear/w4a4/n4096/k2048";

// Answers without computing: wrong ones for some kernels. Keeps what was asked.
class FakeDevice {
 public:
  explicit FakeDevice(std::set<std::string> wrong = {}) : wrong_(std::move(wrong)) {}

  [[nodiscard]] DeviceTestRunner runner() {
    return [this](const DeviceTestCase& test) -> Result<DeviceAnswer> {
      asked.push_back(fmt::format("{} {}", test.kernel, test.tokens.num_tokens));
      cases.push_back(test);
      return DeviceAnswer{wrong_.contains(test.kernel) ? 0.5 : 1e-6, 1e-5};
    };
  }

  std::vector<std::string> asked;
  std::vector<DeviceTestCase> cases;

 private:
  std::set<std::string> wrong_;
};

plan::Gpu gpu(std::string_view key) { return std::get<plan::Gpu>(*plan::find_machine(key)); }

Result<TestedPlan> tested(std::initializer_list<std::string_view> lines, std::string_view machine, FakeDevice& device,
                          const plan::Deployment& deployment = {}) {
  std::vector<plan::Layer> layers;
  for (const std::string_view line : lines) layers.push_back(*plan::parse_layer(line, "test"));
  return make_tested_device_plan(layers, gpu(machine), deployment, device.runner());
}

TEST(TestedDevicePlan, EveryRangeAndTilingOfAKernelIsTested) {
  FakeDevice device;
  const auto out = tested({kExperts}, "sm90", device);
  ASSERT_TRUE(out) << out.error().to_string();
  const plan::PlannedLayer& line = out->plan.layers[0];
  ASSERT_GT(line.ranges.size(), 1U);
  std::set<std::string> expected;
  for (const plan::KernelRange& range : line.ranges) {
    std::set<std::string> tilings;
    for (const std::uint32_t tokens :
         {range.first_tokens, range.times[range.times.size() / 2].num_tokens, range.last_tokens}) {
      expected.insert(fmt::format("{} {}", range.kernel, tokens));
    }
    for (const plan::ExpectedTime& time : range.times) {
      if (tilings.insert(time.tiling).second) expected.insert(fmt::format("{} {}", range.kernel, time.num_tokens));
    }
  }
  EXPECT_EQ(std::set(device.asked.begin(), device.asked.end()), expected);
  EXPECT_EQ(device.asked.size(), expected.size()) << "none twice";
  EXPECT_EQ(out->tests.size(), line.ranges.size()) << "a row for each kernel";
  for (const KernelTest& test : out->tests) {
    EXPECT_TRUE(test.passed());
    EXPECT_THAT(test.layer_kinds, ElementsAre("mlp.experts"));
  }
  for (const DeviceTestCase& test : device.cases) {
    EXPECT_LE(test.tokens.num_tokens, test.tokens.planned);
    EXPECT_EQ(std::get<kernels::MoeProblem>(test.problem).intermediate, 768U);
  }
}

TEST(TestedDevicePlan, AWrongKernelIsRefusedAndTheNextIsPlannedAndTested) {
  FakeDevice device({"moe_nvfp4_bf16_wgmma"});
  const auto out = tested({kExperts, kDense}, "sm90", device);
  ASSERT_TRUE(out);
  EXPECT_EQ(plan::layer_line(out->plan.layers[0]),
            "mlp.experts nvfp4_w4a16 1-64 moe_nvfp4_bf16_mma_bulk, 65-8192 moe_nvfp4_bf16_mma [fragment_16x64]");
  EXPECT_THAT(device.asked, testing::Contains(testing::StartsWith("moe_nvfp4_bf16_mma 65")));
  const auto wrong = std::ranges::find_if(out->tests, [](const KernelTest& test) { return !test.passed(); });
  ASSERT_NE(wrong, out->tests.end());
  EXPECT_EQ(wrong->kernel, "moe_nvfp4_bf16_wgmma");
  EXPECT_EQ(wrong->error, 0.5);
  EXPECT_THAT(refusal_lines(out->plan),
              ElementsAre(AllOf(HasSubstr("kernel moe_nvfp4_bf16_wgmma computed a wrong answer here (relative error"),
                                HasSubstr("2048 columns of nvfp4 weights"), HasSubstr("moe_nvfp4_bf16_mma serves"))));
  bool is_named = false;
  for (const plan::Rejection& rejection : out->plan.layers[0].rejections) {
    is_named = is_named || (rejection.kernel == "moe_nvfp4_bf16_wgmma" &&
                            rejection.reason.find("computed a wrong answer here") != std::string::npos);
  }
  EXPECT_TRUE(is_named);
}

TEST(TestedDevicePlan, AllThatAreWrongServeNothing) {
  FakeDevice device({"linear_nvfp4_bf16_mma_bulk", "linear_nvfp4_bf16_wgmma", "linear_nvfp4_bf16_mma"});
  const auto out = tested({kDense}, "sm90", device);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->plan.num_unserved(), 1U);
  EXPECT_THAT(refusal_lines(out->plan), testing::Each(HasSubstr("nothing serves")));
  EXPECT_EQ(out->plan.deployment.refused.size(), 3U);
}

TEST(TestedDevicePlan, AWrongKernelCannotBeForced) {
  FakeDevice device({"linear_nvfp4_bf16_wgmma"});
  plan::Deployment deployment;
  deployment.forced.push_back(*plan::parse_forced_kernel("self_attn.q_proj=linear_nvfp4_bf16_wgmma"));
  const auto out = tested({kDense}, "sm90", device, deployment);
  ASSERT_FALSE(out);
  EXPECT_THAT(out.error().to_string(),
              AllOf(HasSubstr("--kernel self_attn.q_proj=linear_nvfp4_bf16_wgmma"),
                    HasSubstr("computed a wrong answer here"), HasSubstr("these serve it: linear_nvfp4_bf16_mma")));
}

TEST(TestedDevicePlan, LayersOfOneProblemShareTests) {
  FakeDevice one;
  ASSERT_TRUE(tested({"1 self_attn.k_proj linear/w4a4/n512/k2048"}, "sm120", one));
  FakeDevice two;
  const auto out = tested({"1 self_attn.k_proj linear/w4a4/n512/k2048", "9 self_attn.v_proj linear/w4a4/n512/k2048",
                           "1 embed_tokens embedding/bf16/n1000/k2048"},
                          "sm120", two);
  ASSERT_TRUE(out);
  EXPECT_EQ(one.asked, two.asked);
  EXPECT_THAT(out->tests[0].layer_kinds, ElementsAre("self_attn.k_proj", "self_attn.v_proj"));
  FakeDevice other;
  const auto both = tested({"1 self_attn.k_proj linear/w4a4/n512/k2048", "1 self_attn.o_proj linear/w4a4/n528/k2048",
                            "1 mlp.up_proj linear/w4a16/n512/k2048"},
                           "sm120", other);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->tests.size(), 3U) << "rows or activations are others";
}

// What is measured is chosen among the kernels that are right.
TEST(TestedDevicePlan, ARefusedKernelIsNoCandidate) {
  plan::Deployment deployment;
  deployment.refused.push_back({"linear_nvfp4_bf16_wgmma", "computed a wrong answer here"});
  plan::PlannedLayer line;
  line.layer = *plan::parse_layer(kDense, "test");
  line.activation = Activation::kNvfp4Static;
  const auto candidates = plan::candidates_of(gpu("sm90"), deployment, line);
  ASSERT_TRUE(candidates);
  for (const plan::Candidate& candidate : *candidates) {
    EXPECT_EQ(candidate.accepts(64),
              candidate.kernel != "linear_nvfp4_bf16_wgmma" && candidate.kernel.starts_with("linear_nvfp4_bf16"))
        << candidate.kernel;
  }
}

TEST(TestedDevicePlan, AnErrorEndsIt) {
  std::vector<plan::Layer> layers = {*plan::parse_layer(kDense, "test")};
  const auto out = make_tested_device_plan(layers, gpu("sm90"), {}, [](const DeviceTestCase&) -> Result<DeviceAnswer> {
    return Error{ErrorCode::kIo, "self-test", "no memory"};
  });
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().to_string(), "self-test: no memory");
}

TEST(TestAllDeviceKernels, AsksForWhatTheDeviceRuns) {
  for (const char* key : {"sm80", "sm90", "sm120"}) {
    FakeDevice device;
    const DeviceCaps caps = gpu(key).caps;
    const auto tests = test_all_device_kernels(caps, device.runner());
    ASSERT_TRUE(tests);
    std::set<std::string> names;
    for (const KernelTest& test : *tests) {
      EXPECT_FALSE(test.num_tokens.empty());
      names.insert(test.kernel);
    }
    EXPECT_EQ(names.contains("linear_nvfp4_bf16_wgmma"), caps.sm == 90) << key;
    EXPECT_EQ(names.contains("moe_nvfp4_nvfp4_mma"), caps.sm == 120) << key;
    for (const char* any : {"linear_nvfp4_bf16_mma", "linear_fp8_bf16_mma", "linear_bf16_mma", "moe_nvfp4_bf16_mma"}) {
      EXPECT_TRUE(names.contains(any)) << key << " " << any;
    }
    for (const DeviceTestCase& test : device.cases) {
      const auto* const linear = std::get_if<kernels::DeviceLinearProblem>(&test.problem);
      if (linear == nullptr) continue;
      const auto offer = std::ranges::find(kernels::device_linear_offers(), test.kernel,
                                           [](const kernels::DeviceLinearOffer& one) { return one.name; });
      EXPECT_EQ(offer->refusal(*linear, caps, test.tokens.planned), "");
    }
  }
}

}  // namespace
}  // namespace nvfp4::layers
