// A problem's layer on a GPU: the kernel that serves it, copies of random weights, and calls that take turns on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "apps/bench_problem.h"
#include "apps/bench_rotation.h"
#include "device/device_caps.h"
#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

class DeviceLayer {
 public:
  // An Error when no kernel serves the problem. kernel_name, unless it is empty: that kernel and no other.
  [[nodiscard]] static Result<std::unique_ptr<DeviceLayer>> create(const BenchProblem& problem, const DeviceCaps& caps,
                                                                   std::string_view kernel_name);
  virtual ~DeviceLayer() = default;

  [[nodiscard]] virtual std::string_view kernel() const = 0;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  [[nodiscard]] virtual std::size_t zeroed_bytes() const = 0;
  [[nodiscard]] virtual std::uint64_t copy_bytes() const = 0;  // of device memory

  // Weights for every copy, and what calls do not share; returns when all is there. one_routing: all calls go to the
  // same experts.
  [[nodiscard]] virtual Status fill(const Rotation& rotation, bool one_routing, DeviceStream stream) = 0;
  // After fill(). x [tokens, input_size], y [tokens, output_size].
  [[nodiscard]] virtual Status run(std::size_t call_idx, const kernels::Bf16Bits* x, kernels::Bf16Bits* y,
                                   const kernels::DeviceWorkspace& workspace, DeviceStream stream) const = 0;
  // Of weights, by a call: mean of all calls.
  [[nodiscard]] virtual double bytes_read() const = 0;

 protected:
  DeviceLayer() = default;
  DeviceLayer(const DeviceLayer&) = delete;
  DeviceLayer& operator=(const DeviceLayer&) = delete;
};

}  // namespace nvfp4::apps
