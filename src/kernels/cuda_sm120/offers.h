// What is known of this room's kernels without CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/device_offer.h"
#include "kernels/cuda_sm120/fp4_choice.h"

namespace nvfp4::kernels::cuda_sm120 {

[[nodiscard]] const DeviceLinearOffer& linear_nvfp4_nvfp4_mma_offer();
[[nodiscard]] const DeviceMoeOffer& moe_nvfp4_nvfp4_mma_offer();

[[nodiscard]] Fp4Layer linear_layer(const DeviceLinearProblem& problem, std::uint32_t num_sms);

// Places in the workspace: counters that are 0, codes and factors of x, parts of sums.
struct LinearPlaces {
  std::size_t codes_at, factors_at, parts_at;
};
[[nodiscard]] LinearPlaces linear_places(const DeviceLinearPlan& plan);

}  // namespace nvfp4::kernels::cuda_sm120
