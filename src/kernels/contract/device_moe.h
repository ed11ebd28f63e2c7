// A mixture-of-experts layer on a GPU, from activations and chosen experts to the sum of what they answer:
//
//   y[t] = round(sum_j w[t, j] * down_e(round(act(gate_e(x[t]), up_e(x[t])))) + g[t] * shared(x[t]))     e = id[t, j]
//
//   gate, up, down   y = scale2 * sum_k A(x[k]) * e2m1(code) * e4m3(block scale), summed in float32
//   act              the ExpertFunction, in float32 on unrounded sums
//   A                k16Bit: x itself. kNvfp4Static, kNvfp4Dynamic: rounded to NVFP4 as kernels/contract/linear.h says,
//                    under the expert's own input scale of FC1 (gate, up) or FC2 (down), or under the row's
//   round            to BF16, nearest even; once where it stands. W4A4 rounds to NVFP4 what is not rounded to BF16
//   sum_j            in the order of the slots; the shared expert comes last; in float32
//
// Slots whose expert is not here (see expert_map) add nothing. With router_weight_on_input, w[t, j] * x[t] goes into
// the expert, in float32 before A, and the result is added as it is.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "kernels/contract/device_plan.h"
#include "nvfp4/quantize.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::kernels {

enum class ExpertFunction : std::uint8_t {
  kSilu,       // gate / (1 + exp(-gate)) * up
  kGeluTanh,   // gate / (1 + exp(-2 u)) * up, u = sqrt(2 / pi) (gate + 0.044715 gate^3)
  kSwigluOai,  // g / (1 + exp(-alpha g)) * (u + beta), g = min(gate, limit), u = min(max(up, -limit), limit)
  kRelu2,      // max(up, 0)^2; there is no gate
};
[[nodiscard]] std::string_view expert_function_name(ExpertFunction function);  // "silu", "gelu_tanh", ...
[[nodiscard]] constexpr bool is_gated(ExpertFunction function) { return function != ExpertFunction::kRelu2; }

inline constexpr std::uint32_t kMaxMoeExperts = 512;
inline constexpr std::uint32_t kMaxMoeTopK = 32;

// The problem: what is known when a layer is built. Weights are NVFP4 with blocks of 16 columns.
struct MoeProblem {
  Activation activation = Activation::k16Bit;
  ExpertFunction function = ExpertFunction::kSilu;
  float swiglu_alpha = 1.702F;  // kSwigluOai only
  float swiglu_beta = 1.0F;
  float swiglu_limit = std::numeric_limits<float>::infinity();
  std::uint32_t hidden = 0;               // H, a multiple of 16
  std::uint32_t intermediate = 0;         // I, a multiple of 16; of this rank
  std::uint32_t num_experts = 0;          // E: experts whose weights are here, at most kMaxMoeExperts
  std::uint32_t num_global_experts = 0;   // 0: as many as num_experts
  std::uint32_t top_k = 0;                // k, at most kMaxMoeTopK
  std::uint32_t shared_intermediate = 0;  // I of the shared expert, a multiple of 16; 0: there is none
  bool router_weight_on_input = false;
  // kNvfp4Static: the producer's rule, and whether all experts have the same input scale in FC1, so that a token is
  // rounded once.
  QuantizerRule input_rule = QuantizerRule::kModelOpt;
  bool one_fc1_input_scale = false;
  // A token's bits do not depend on the tokens beside it, nor on their number.
  bool batch_invariant = false;

  [[nodiscard]] bool gated() const { return is_gated(function); }
  // Rows of the first matrix: gate and up interleaved, or up.
  [[nodiscard]] std::uint64_t fc1_rows() const { return std::uint64_t{gated() ? 2U : 1U} * intermediate; }
  [[nodiscard]] std::uint32_t num_ids() const { return num_global_experts == 0 ? num_experts : num_global_experts; }
};

// Experts on the device: E of them one after the other in every array, in the kernel's nvfp4_layout.
struct DeviceExperts {
  // [E][2I / 16, or I / 16 without a gate][ceil(H / 64)][576]. Gated: an interleaved pair, 8 rows of gate and the same
  // 8 rows of up in each row group.
  const std::uint8_t* gate_up = nullptr;
  const std::uint8_t* down = nullptr;      // [E][H / 16][ceil(I / 64)][576]
  const float* gate_scale2 = nullptr;      // [E]; null without a gate
  const float* up_scale2 = nullptr;        // [E]
  const float* down_scale2 = nullptr;      // [E]
  const float* fc1_input_scale = nullptr;  // [E] as the producer stores it; kNvfp4Static only
  const float* fc2_input_scale = nullptr;  // [E] likewise
};

struct DeviceMoeWeights {
  DeviceExperts experts;
  DeviceExperts shared;  // one expert of shared_intermediate; null pointers without one
};

struct DeviceMoeArgs {
  std::uint32_t num_tokens = 0;              // T, 0 to the plan's max_tokens
  const Bf16Bits* x = nullptr;               // [T, H]
  const std::int32_t* expert_ids = nullptr;  // [T, k]; any number: those that name no expert of num_ids() are skipped
  const float* router_weights = nullptr;     // [T, k]
  Bf16Bits* y = nullptr;                     // [T, H]; not x
  // [num_ids()] number of an expert -> its place in DeviceExperts; anything outside of [0, E): not here. Null: the
  // same.
  const std::int32_t* expert_map = nullptr;
  const float* shared_weights = nullptr;  // [T] g of the shared expert; null: 1
};

// Why no kernel may serve the problem, in words; empty when it is within the limits above.
[[nodiscard]] std::string moe_limits_refusal(const MoeProblem& problem);

struct DeviceMoePlan {
  MoeProblem problem;
  DevicePlanSizes sizes;
};

// What run() refuses before it launches anything: too many tokens, a workspace too small, a null pointer that must not
// be.
[[nodiscard]] Status check_moe_call(const DeviceMoePlan& plan, const DeviceMoeWeights& weights,
                                    const DeviceMoeArgs& args, const DeviceWorkspace& workspace);

struct DeviceMoeKernel {
  std::string_view name;  // "moe_nvfp4_bf16_wgmma"
  // Empty when the kernel serves the problem on the device for up to max_tokens, else why not, in words.
  std::string (*refusal)(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens);
  // For a problem that is not refused; the device is the current one.
  Result<DeviceMoePlan> (*plan)(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens);
  Status (*run)(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
                const DeviceWorkspace& workspace, DeviceStream stream);
  DeviceWeightLayout nvfp4_layout = DeviceWeightLayout::kFragment16x64;  // in which it reads NVFP4 weights
};

}  // namespace nvfp4::kernels
