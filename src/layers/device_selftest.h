// Does a kernel for GPUs compute what it should on the GPU that is here? A known answer for a layer's own problem:
// random weights under scales other than 1, random inputs, a sample of tokens and rows against float64.
#pragma once

#include <cstdint>
#include <span>

#include "base/worker_pool.h"
#include "device/device_caps.h"
#include "device/device_stream.h"
#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "nvfp4/result.h"

namespace nvfp4::layers {

// error: ||d|| / ||expected|| of the sample, where d is by how much an output is further from what is expected than
// rounding it to BF16 explains; infinite where any output, of the sample or not, is not finite, or where a second run
// with the same arguments gives other bits.
struct DeviceAnswer {
  double error = 0;
  double tolerance = 0;

  [[nodiscard]] bool is_right() const { return error <= tolerance; }
};

// How many tokens the kernel is planned for, and how many it gets.
struct TestTokens {
  std::uint32_t planned = 1;
  std::uint32_t num_tokens = 1;
};

// The active device.
struct TestDevice {
  const DeviceCaps& caps;
  DeviceStream stream;
  WorkerPool& pool;
};

// The kernel accepts the problem for so many tokens. An Error when there is not enough memory, or when the kernel does
// not run.
[[nodiscard]] Result<DeviceAnswer> selftest(const kernels::DeviceLinearKernel& kernel,
                                            const kernels::DeviceLinearProblem& problem, TestTokens tokens,
                                            const TestDevice& device);
[[nodiscard]] Result<DeviceAnswer> selftest(const kernels::DeviceMoeKernel& kernel, const kernels::MoeProblem& problem,
                                            TestTokens tokens, const TestDevice& device);

// The error of BF16 outputs, as above.
[[nodiscard]] double error_beyond_rounding(std::span<const kernels::Bf16Bits> found, std::span<const double> expected);

}  // namespace nvfp4::layers
