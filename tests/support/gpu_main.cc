// The main() of tests that need a GPU: without one they end with the code that ctest takes for "not run here".
#include <gtest/gtest.h>

#include <cstdio>

#include "device/device.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  ::testing::InitGoogleTest(&argc, argv);
  const auto device = nvfp4::Device::open(0);
  if (!device.ok() && !::testing::GTEST_FLAG(list_tests)) {
    std::printf("not run: %s\n", device.error().to_string().c_str());
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
