// linear_*_loops: every linear layer on any CPU, in plain C++.
//
//   Four weight rows at a time are decoded to float32 [4, in] and multiplied with every token of their expert; a
//   product is summed in 8 lanes (k mod 8) over ascending k, then lane by lane in a fixed tree, then scaled. Workers
//   share the output rows. Bound: decoding, about one weight per cycle and worker; it is the truth with a clock, not a
//   ceiling.
#pragma once

#include <span>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_portable {

// One per pair of weight format and activation, named linear_WEIGHT_ACTIVATION_loops.
[[nodiscard]] std::span<const LinearKernel> linear_loops();

}  // namespace nvfp4::kernels::cpu_portable
