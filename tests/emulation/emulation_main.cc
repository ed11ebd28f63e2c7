// The main() of tests on the emulated device: what the emulation found and no test took fails the test.
#include <gtest/gtest.h>

#include "emulation/emulated_device.h"
#include "emulation/fault.h"

namespace nvfp4::emulation {
namespace {

class FaultListener : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& /*test*/) override { emulated_device() = device_like_sm80(); }
  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    for (const std::string& fault : take_faults()) ADD_FAILURE() << fault;
  }
};

}  // namespace
}  // namespace nvfp4::emulation

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new nvfp4::emulation::FaultListener());
  return RUN_ALL_TESTS();
}
