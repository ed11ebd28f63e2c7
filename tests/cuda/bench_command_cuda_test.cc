// `nvfp4 bench --device cuda` where there is a device: figures that agree with one another, and ceilings that hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "device/buffer.h"
#include "device/device.h"
#include "device/stream.h"
#include "kernels/catalogue/device_catalogue.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

using support::Arguments;
using support::expect_refusal;
using support::joined;
using support::json_of;
using support::run_nvfp4;

Arguments quick(const Arguments& more) {
  return joined({"bench", "--device", "cuda", "-q", "--json", "--seconds", "0.01"}, more);
}

void expect_sane(const nlohmann::json& figures) {
  const auto number = [&](const char* name) { return figures[name].get<double>(); };
  EXPECT_GE(number("repetitions"), 20);
  EXPECT_GT(number("min_us"), 0);
  EXPECT_LE(number("min_us"), number("median_us"));
  EXPECT_GT(number("ceiling_gb_per_s"), 100);
  EXPECT_GT(number("ceiling_tflop_per_s"), 10);
  EXPECT_GT(number("share_of_ceiling"), 0);
  EXPECT_LT(number("share_of_ceiling"), 1.05);
  EXPECT_EQ(figures["threads"], 0);
  EXPECT_NEAR(number("gb_per_s") * number("median_us") * 1e3 / number("bytes"), 1, 1e-9);
  EXPECT_NEAR(number("tflop_per_s") * number("median_us") * 1e6 / number("operations"), 1, 1e-9);
  const double share =
      std::max(number("gb_per_s") / number("ceiling_gb_per_s"), number("tflop_per_s") / number("ceiling_tflop_per_s"));
  EXPECT_NEAR(number("share_of_ceiling"), share, 1e-9);
}

class BenchOnDevice : public testing::TestWithParam<std::string> {};

// What no kernel serves is refused before anything is measured.
TEST_P(BenchOnDevice, GivesFiguresOrEveryRefusal) {
  const auto result = run_nvfp4(quick({GetParam()}));
  if (result.exit_code != 0) return expect_refusal(result, {GetParam(), "no kernel serves"});
  const auto json = json_of(result);
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["problem"], GetParam());
  EXPECT_EQ(json[0]["memory"], "cold");
  EXPECT_GT(json[0]["copies"].get<int>(), 1);
  expect_sane(json[0]);
}

INSTANTIATE_TEST_SUITE_P(
    Problems, BenchOnDevice,
    testing::Values("moe/w4a16/silu/h2048/i768/e128/k8/t1", "moe/w4a16/silu/h2048/i768/e128/k8/t300",
                    "moe/w4a4/silu/h2048/i512/e256/k8/t64", "moe/w4a16/relu2/h2688/i1856/e128/k6/t16",
                    "moe/w4a16/gelu_tanh/h256/i96/e8/k2/t7", "moe/w4a16/swigluoai/h256/i96/e8/k2/t7",
                    "linear/w4a16/n4096/k2048/t1", "linear/w4a16/n4096/k2048/t256", "linear/w4a4/n4096/k2048/t16",
                    "linear/fp8/n4096/k2048/t16", "linear/w8a8/n4096/k2048/t16", "linear/bf16/n4096/k2048/t16"));

TEST(BenchOnDevices, BytesAreThoseOfTheExpertsWithoutTheRouter) {
  const std::string problem = "moe/w4a16/silu/h2048/i768/e128/k8/t1";
  const auto json = json_of(run_nvfp4(quick({problem, "linear/w4a16/n4096/k2048/t1"})));
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["bytes"], 8 * 3 * 2048.0 * 768 * 4.5 / 8);
  EXPECT_EQ(json[1]["bytes"], 4096 * 2048.0 * 4.5 / 8);
}

TEST(BenchOnDevices, HotIsOneCopy) {
  const auto json = json_of(run_nvfp4(quick({"--hot", "moe/w4a16/silu/h2048/i768/e128/k8/t1"})));
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["memory"], "hot");
  EXPECT_EQ(json[0]["copies"], 1);
  expect_sane(json[0]);
}

TEST(BenchOnDevices, WhatIsNotThereIsRefused) {
  expect_refusal(run_nvfp4({"bench", "--device", "cuda:99", "linear/w4a16/n512/k256/t1"}), {"CUDA", "99"});
  expect_refusal(run_nvfp4({"bench", "--device", "cuda", "-q", "moe/bf16/silu/h64/i32/e4/k1/t5"}), {"w4a16"});
  expect_refusal(run_nvfp4({"bench", "--device", "cuda", "-q", "linear/f32/n512/k256/t1"}), {"linear/f32"});
}

// Twice as much takes twice as long.
class Ceilings : public testing::Test {
 protected:
  template <class Launch>
  double seconds_of(Launch&& launch) {
    float best = 1e9F;
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(timer_.begin(stream_.get()).ok());
      const Status launched = launch();
      EXPECT_TRUE(launched.ok()) << launched.error().to_string();
      EXPECT_TRUE(timer_.end(stream_.get()).ok());
      best = std::min(best, timer_.elapsed_us().value());
    }
    return double{best} * 1e-6;
  }

  Device device_ = Device::open(0).value();
  Stream stream_ = Stream::create().value();
  EventTimer timer_ = EventTimer::create().value();
  Buffer sink_ = Buffer::allocate(kernels::kPeakSinkBytes).value();
};

TEST_F(Ceilings, ReadLoopsReadEverything) {
  constexpr std::size_t kBytes = std::size_t{1} << 30U;
  const Buffer memory = Buffer::allocate(kBytes).value();
  for (const kernels::DeviceReadLoop& loop : kernels::device_read_loops()) {
    if (!loop.refusal(device_.caps()).empty()) continue;
    const auto seconds = [&](std::size_t num_bytes, std::uint32_t num_passes) {
      return seconds_of(
          [&] { return loop.run(device_.caps(), memory.data(), num_bytes, num_passes, sink_.data(), stream_.get()); });
    };
    const double half = seconds(kBytes / 2, 1);
    EXPECT_NEAR(seconds(kBytes, 1) / half, 2, 0.2) << loop.name;
    EXPECT_NEAR(seconds(kBytes / 2, 2) / half, 2, 0.2) << loop.name;
  }
}

TEST_F(Ceilings, MultiplyLoopsMultiplyEverything) {
  for (const kernels::DeviceMultiplyLoop& loop : kernels::device_multiply_loops()) {
    if (!loop.refusal(device_.caps()).empty()) continue;
    const auto seconds = [&](std::uint32_t num_rounds) {
      return seconds_of([&] { return loop.run(device_.caps(), num_rounds, sink_.data(), stream_.get()); });
    };
    EXPECT_NEAR(seconds(4000) / seconds(2000), 2, 0.3) << loop.name;
  }
}

}  // namespace
}  // namespace nvfp4
