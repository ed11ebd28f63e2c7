// A linear layer on a GPU:
//
//   y[t, n] = round(s[n] * sum_k A(x[t, k]) * W[n, k] + bias[n])
//
//   W       NVFP4: e2m1(code) * e4m3(block scale); FP8: e4m3; or BF16
//   s       scale2 of the shard that row n belongs to (q, k, v of a fused weight), or the row's own (FP8 per row), or 1
//   A       x * pre_quant_scale[k] (rounded to BF16) if there is one; then by `activation`, as
//   kernels/contract/linear.h
//           says: itself, or rounded to NVFP4 or E4M3 under the layer's input scale or the row's own
//   round   to the output's type; the sum, s and bias are float32
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/device_plan.h"
#include "kernels/contract/linear.h"
#include "nvfp4/quantize.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::kernels {

inline constexpr std::uint32_t kMaxDeviceOutFeatures = 262144;
inline constexpr std::uint32_t kMaxDeviceShards = 8;

enum class DeviceOutput : std::uint8_t { kBF16, kF32 };

struct DeviceLinearProblem {
  WeightFormat weight = WeightFormat::kNvfp4;  // kNvfp4 (blocks of 16), kFp8 or kBF16
  Activation activation = Activation::k16Bit;
  QuantizerRule input_rule = QuantizerRule::kModelOpt;
  std::uint32_t out_features = 0;  // N, 1 to kMaxDeviceOutFeatures
  std::uint32_t in_features = 0;   // K, a multiple of 16
  std::uint32_t num_shards = 1;
  bool per_row_scale = false;  // FP8 only
  bool has_bias = false;
  bool has_pre_quant_scale = false;
  DeviceOutput output = DeviceOutput::kBF16;
  bool batch_invariant = false;  // a row's bits do not depend on the rows beside it, nor on their number
};

// Whether the numbers that are multiplied are not x itself.
[[nodiscard]] inline bool is_rounded(const DeviceLinearProblem& problem) {
  return problem.activation != Activation::k16Bit || problem.has_pre_quant_scale;
}

// Row ranges of one weight with a scale each. Host memory: kernels get it by value.
struct DeviceShardScales {
  std::uint32_t count = 1;
  std::array<std::uint32_t, kMaxDeviceShards> end_rows{};  // shard i: rows [end_rows[i - 1], end_rows[i]); last: N
  std::array<float, kMaxDeviceShards> scale2{};            // FP32 multipliers
};

struct DeviceLinearWeight {
  // NVFP4: the kernel's nvfp4_layout [ceil(N / 16)][ceil(K / 64)][576]. Others: kRowMajor [N, K].
  const void* elements = nullptr;
  DeviceShardScales shards;                // BF16: one shard of scale 1; ignored with per_row_scale
  const float* row_scales = nullptr;       // [N], with per_row_scale
  float input_scale = 1.0F;                // static activations: as the producer stores it
  const float* pre_quant_scale = nullptr;  // [K]
  const float* bias = nullptr;             // [N]
};

struct DeviceLinearArgs {
  std::uint32_t num_tokens = 0;  // T, 0 to the plan's max_tokens
  const Bf16Bits* x = nullptr;   // [T, K]
  void* y = nullptr;             // [T, N] BF16 or float32
};

// Why no kernel may serve the problem, in words; empty when it is within the limits above.
[[nodiscard]] std::string device_linear_limits_refusal(const DeviceLinearProblem& problem);

struct DeviceLinearPlan {
  DeviceLinearProblem problem;
  DevicePlanSizes sizes;
};

// What run() refuses before it launches anything: too many tokens, a workspace too small, a null pointer that must not
// be.
[[nodiscard]] Status check_device_linear_call(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight,
                                              const DeviceLinearArgs& args, const DeviceWorkspace& workspace);

struct DeviceLinearKernel {
  std::string_view name;  // "linear_nvfp4_bf16_wgmma"
  // Empty when the kernel serves the problem on the device for up to max_tokens, else why not, in words.
  std::string (*refusal)(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens);
  // For a problem that is not refused; the device is the current one.
  Result<DeviceLinearPlan> (*plan)(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                   std::uint32_t max_tokens);
  Status (*run)(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
                const DeviceWorkspace& workspace, DeviceStream stream);
  DeviceWeightLayout nvfp4_layout = DeviceWeightLayout::kFragment16x64;  // in which it reads NVFP4 weights
};

}  // namespace nvfp4::kernels
