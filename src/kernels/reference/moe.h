// The truth that every MoE kernel of a GPU is compared with: kernels/contract/device_moe.h in float64, never tuned.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/contract/device_moe.h"
#include "kernels/contract/linear.h"

namespace nvfp4::kernels::reference {

// Experts in the order of the file, any format of kernels/contract/linear.h. gate is null where there is none; gate and
// up have the same input scales.
struct ExpertWeights {
  const LinearWeight* gate = nullptr;
  const LinearWeight* up = nullptr;
  const LinearWeight* down = nullptr;
};

struct MoeWeights {
  ExpertWeights experts;
  ExpertWeights shared;  // with shared_intermediate: one expert
};

// What happens to act(gate, up) at k16Bit.
enum class InnerRounding : std::uint8_t {
  kBF16,  // as the contract says
  kNone,  // float64 from x to y: what tolerances are made for
};

// act of the contract.
[[nodiscard]] double expert_function(const MoeProblem& problem, double gate, double up);

// y [T, H], not rounded. args is of host memory; args.y is not written.
[[nodiscard]] std::vector<double> moe(const MoeProblem& problem, const MoeWeights& weights, const DeviceMoeArgs& args,
                                      InnerRounding inner = InnerRounding::kBF16);

// ||found - expected|| / ||expected||, of BF16 numbers; infinite where either is not finite.
[[nodiscard]] double relative_error(std::span<const Bf16Bits> found, std::span<const double> expected);

}  // namespace nvfp4::kernels::reference
