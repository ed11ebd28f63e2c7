// Faults planted into the kernels for SM120: each is found.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "emulation/access.h"
#include "emulation/emulated_device.h"
#include "emulation/fault.h"
#include "emulation/planted_fault.h"
#include "kernels/cuda_sm120/linear_nvfp4_nvfp4_mma.h"
#include "support/gpu_linear.h"

namespace nvfp4 {
namespace {

using namespace emulation;
using testing::AnyOf;
using testing::HasSubstr;

std::string all_faults() {
  std::string text;
  for (const std::string& fault : take_faults()) text += fault + "\n";
  return text;
}
auto tells_of_disorder() {
  return AnyOf(HasSubstr("nothing orders the two"), HasSubstr("has not been waited for"), HasSubstr("nothing wrote"),
               HasSubstr("barrier in shared memory"));
}

class PlantedFp4Faults : public testing::Test {
 protected:
  void SetUp() override {
    emulated_device() = device_like_sm120();
    if (!kChecksAccesses) GTEST_SKIP() << "AddressSanitizer takes the place of the check of accesses";
  }

  // Does a layer match the reference? In more chunks of K than a block has stages.
  static bool is_right(std::uint32_t num_tokens, std::uint32_t num_sms) {
    const support::GpuQueue queue;
    support::Random random(3);
    support::LinearSpec spec;
    spec.format = kernels::WeightFormat::kNvfp4;
    spec.activation = Activation::kNvfp4Static;
    spec.out_features = 70;
    spec.in_features = 4112;
    testing::TestPartResultArray failures;
    {
      const testing::ScopedFakeTestPartResultReporter reporter(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
      support::expect_linear_close(queue, kernels::cuda_sm120::linear_nvfp4_nvfp4_mma(), spec, num_tokens, random,
                                   num_sms);
    }
    return failures.size() == 0;
  }
};

constexpr std::uint32_t kFew = 5;
constexpr std::uint32_t kSplitSms = 48;  // enough for parts of K

TEST_F(PlantedFp4Faults, NoneRaisesNoAlarm) {
  for (const std::uint32_t num_sms : {1U, kSplitSms}) EXPECT_TRUE(is_right(kFew, num_sms));
  EXPECT_FALSE(has_faults());
}

TEST_F(PlantedFp4Faults, ARemovedWaitForAStageIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoBulkWait);
  static_cast<void>(is_right(kFew, 1));
  EXPECT_THAT(all_faults(), tells_of_disorder());
}

TEST_F(PlantedFp4Faults, ARemovedBarrierOfWarpsThatShareKIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoNumberedBarrier);
  static_cast<void>(is_right(kFew, 1));
  EXPECT_THAT(all_faults(), tells_of_disorder());
}

TEST_F(PlantedFp4Faults, ARemovedFenceBetweenPartsOfKIsFound) {
  const WithPlantedFault planted(PlantedFault::kNoFence);
  static_cast<void>(is_right(kFew, kSplitSms));
  EXPECT_THAT(all_faults(), HasSubstr("nothing orders the two"));
}

TEST_F(PlantedFp4Faults, ASwappedFragmentIsFound) {
  const WithPlantedFault planted(PlantedFault::kSwappedFragment);
  EXPECT_FALSE(is_right(kFew, 1));
}

}  // namespace
}  // namespace nvfp4
