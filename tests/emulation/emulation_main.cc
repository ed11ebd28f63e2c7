// The main() of tests on the emulated device: what the emulation found and no test took fails the test.
#include <gtest/gtest.h>

#include <string>

#include "emulation/emulated_device.h"
#include "emulation/fault.h"

namespace nvfp4::emulation {
namespace {

// The device that the kernels of a test's room are for.
DeviceCaps device_for(const std::string& file) {
  if (file.find("sm90") != std::string::npos) return device_like_sm90();
  if (file.find("sm120") != std::string::npos) return device_like_sm120();
  return device_like_sm80();
}

class FaultListener : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& test) override { emulated_device() = device_for(test.file()); }
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
