// The truth that every linear kernel is compared with: float64 on the dequantised operands, never tuned.
#pragma once

#include <span>
#include <vector>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::reference {

// One row of a weight, all scales applied: out [in_features].
void dequantize_row(const LinearWeight& weight, std::uint32_t expert_idx, std::uint64_t row, std::span<double> out);

// One row of activations as the contract rounds it: out [in_features].
void round_activation(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                      std::span<const float> x, std::span<double> out);

// y [num_rows, out_features] in float64; args.y is not written. magnitude, if given, receives sum_k |A(x) * W|, the
// quantity that error bounds are made of.
[[nodiscard]] std::vector<double> linear(const LinearWeight& weight, Activation activation, const LinearArgs& args,
                                         std::vector<double>* magnitude = nullptr);

}  // namespace nvfp4::kernels::reference
