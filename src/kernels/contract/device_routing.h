// Which experts a token goes to, and with which weights, on a GPU:
//
//   p[e]   kSoftmax: softmax over all E logits. kSigmoid: 1 / (1 + exp(-logit[e])). In float32
//   c[e]   p[e] + bias[e] (without a bias p[e]); it decides who is chosen and is not in the weights
//   groups E / num_groups neighbouring experts each; the top_groups with the largest sum of their two largest c stay in
//          the choice. num_groups 1: all
//   chosen the top_k largest c, largest first; equal ones: the lower number first
//   w[j]   p of the chosen; divided by their sum + 1e-20 if normalize; times `scaling`
//
// A NaN among the logits makes all weights of the token NaN; which experts are chosen is then left open, but they
// exist.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

enum class RouterScore : std::uint8_t { kSoftmax, kSigmoid };

struct RouterProblem {
  RouterScore score = RouterScore::kSoftmax;
  std::uint32_t num_experts = 0;  // E, at most kMaxMoeExperts; all of them, also those of other ranks
  std::uint32_t top_k = 0;        // at most kMaxMoeTopK, and at most the experts of top_groups groups
  std::uint32_t num_groups = 1;   // divides E; above 1: at least two experts in a group
  std::uint32_t top_groups = 1;
  bool normalize = false;
  bool has_bias = false;
  float scaling = 1.0F;
};

struct DeviceRouterArgs {
  std::uint32_t num_tokens = 0;        // T
  const float* logits = nullptr;       // [T, E]
  const float* bias = nullptr;         // [E], with has_bias
  std::int32_t* expert_ids = nullptr;  // [T, k]
  float* router_weights = nullptr;     // [T, k]
};

// Why the problem cannot be served, in words; empty when it can.
[[nodiscard]] std::string router_limits_refusal(const RouterProblem& problem);

struct DeviceRouterKernel {
  std::string_view name;  // "router_topk_warp"
  std::string (*refusal)(const RouterProblem& problem, const DeviceCaps& caps);
  Status (*run)(const RouterProblem& problem, const DeviceRouterArgs& args, DeviceStream stream);
};

}  // namespace nvfp4::kernels
