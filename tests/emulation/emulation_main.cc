// The main() of tests on the emulated device (--sm=90: as on that one): what the emulation found and no test took fails
// the test.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "emulation/emulated_device.h"
#include "emulation/fault.h"
#include "emulation/sanitizer.h"

namespace nvfp4::emulation {
namespace {

// The device that the kernels of a test's room are for; for rooms that serve any, the one that was asked for.
DeviceCaps device_for(const std::string& file, const std::string& asked) {
  if (file.find("sm90") != std::string::npos || asked == "90") return device_like_sm90();
  if (file.find("sm120") != std::string::npos || asked == "120") return device_like_sm120();
  return device_like_sm80();
}

class FaultListener : public testing::EmptyTestEventListener {
 public:
  explicit FaultListener(std::string asked_device) : asked_device_(std::move(asked_device)) {}

 private:
  void OnTestStart(const testing::TestInfo& test) override {
    emulated_device() = device_for(test.file(), asked_device_);
  }
  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    for (const std::string& fault : take_faults()) ADD_FAILURE() << fault;
  }

  std::string asked_device_;
};

}  // namespace
}  // namespace nvfp4::emulation

#if NVFP4_EMULATION_ASAN
// Else each of the thousands of stacks had another one beside it, and the process were too large for a second one.
extern "C" const char* __asan_default_options() { return "detect_stack_use_after_return=0"; }
#endif

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string option = argc > 1 ? argv[1] : "";
  const std::string asked = option.starts_with("--sm=") ? option.substr(5) : "";
  testing::UnitTest::GetInstance()->listeners().Append(new nvfp4::emulation::FaultListener(asked));
  return RUN_ALL_TESTS();
}
