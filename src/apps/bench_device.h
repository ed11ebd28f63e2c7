// nvfp4 bench PROBLEM... --device cuda: layers on a GPU, in a CUDA graph of many calls.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "apps/bench_device_ceilings.h"
#include "apps/bench_measurement.h"
#include "apps/bench_problem.h"
#include "device/device.h"
#include "device/stream.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

struct DeviceBenchSettings {
  bool hot = false;
  double seconds = 1;       // of replays
  std::string kernel_name;  // empty: the first that accepts
};

class DeviceBench {
 public:
  [[nodiscard]] static Result<DeviceBench> open(std::uint32_t device_idx);

  [[nodiscard]] const DeviceCaps& caps() const { return device_.caps(); }

  // An Error when no kernel serves the problem or the device has too little memory for it; nothing is measured.
  [[nodiscard]] Status check(const BenchProblem& problem, const DeviceBenchSettings& settings) const;
  // Likewise, or when the result is not finite. A repetition of the result is a replay; times are of one call.
  [[nodiscard]] Result<BenchResult> measure(const BenchProblem& problem, const DeviceBenchSettings& settings);

 private:
  DeviceBench(Device device, std::unique_ptr<Stream> stream, DeviceCeilings ceilings)
      : device_(std::move(device)), stream_(std::move(stream)), ceilings_(std::move(ceilings)) {}

  Device device_;
  std::unique_ptr<Stream> stream_;
  DeviceCeilings ceilings_;
};

}  // namespace nvfp4::apps
