// What is known of a kernel for GPUs without having CUDA or a GPU: whether it serves a problem on a device, what memory
// it then takes, and about how long. Plans for any device are made of offers; the kernel itself is made of its offer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels {

// How near a kernel comes to what a device can reach: shares of its published rates of memory and of BF16 or FP4
// products, of two of which the smaller one costs `overlap` of itself; and what is there however small the layer is.
struct DeviceSpeed {
  double memory = 0.7;
  double products = 0.5;
  double overlap = 0.5;
  double fixed_us = 4;
  bool fp4_products = false;
};

template <class Problem, class Plan>
struct DeviceOffer {
  std::string_view name;  // the kernel's
  // Empty when the kernel serves the problem on the device for up to max_tokens, else why not, in words.
  std::string (*refusal)(const Problem& problem, const DeviceCaps& caps, std::uint32_t max_tokens);
  // For a problem that is not refused: the kernel's plan, but for what only the device itself can tell.
  Plan (*outline)(const Problem& problem, const DeviceCaps& caps, std::uint32_t max_tokens);
  DeviceSpeed (*speed)(const DeviceCaps& caps);
  // For more tokens than these another kernel that serves the problem is faster. Null: for no number.
  std::uint32_t (*best_max_tokens)(const Problem& problem, const DeviceCaps& caps) = nullptr;
  DeviceWeightLayout nvfp4_layout = DeviceWeightLayout::kFragment16x64;  // in which it reads NVFP4 weights
  // In microseconds, where the kernel knows more than its speed; null otherwise.
  double (*time_us)(const Problem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) = nullptr;
  // How it cuts the layer for so many tokens, in words: "64 x 32, K in 4 parts" of rows and tokens, or "128 x 64 in 396
  // equal shares". Null: one way.
  std::string (*tiling)(const Problem& problem, const DeviceCaps& caps, std::uint32_t num_tokens) = nullptr;
  std::uint32_t version = 1;  // raised when its speed changes: what was measured of the old one counts no more
};
using DeviceLinearOffer = DeviceOffer<DeviceLinearProblem, DeviceLinearPlan>;
using DeviceMoeOffer = DeviceOffer<MoeProblem, DeviceMoePlan>;

template <class Problem, class Plan>
[[nodiscard]] bool is_best(const DeviceOffer<Problem, Plan>& offer, const Problem& problem, const DeviceCaps& caps,
                           std::uint32_t max_tokens) {
  return offer.best_max_tokens == nullptr || max_tokens <= offer.best_max_tokens(problem, caps);
}

// A tiling's words; num_parts: of K.
[[nodiscard]] inline std::string tiling_text(std::uint32_t rows, std::uint32_t tokens, std::uint32_t num_parts = 1) {
  std::string text = std::to_string(rows) + " x " + std::to_string(tokens);
  if (num_parts > 1) text += ", K in " + std::to_string(num_parts) + " parts";
  return text;
}

template <class Offer>
[[nodiscard]] constexpr Offer with_tiling(Offer offer, decltype(Offer::tiling) tiling) {
  offer.tiling = tiling;
  return offer;
}

template <class Kernel, class Offer>
[[nodiscard]] Kernel kernel_of(const Offer& offer, decltype(Kernel::plan) plan, decltype(Kernel::run) run) {
  return {offer.name, offer.refusal, plan, run, offer.nvfp4_layout};
}

}  // namespace nvfp4::kernels
