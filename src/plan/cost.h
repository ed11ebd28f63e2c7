// About how long a layer takes: from the bytes that it reads, the products that it forms, what the machine reaches at
// most, and how near the kernel comes to that.
#pragma once

#include <cstdint>

#include "kernels/contract/device_offer.h"
#include "plan/layer.h"
#include "plan/machine.h"

namespace nvfp4::plan {

inline constexpr double kRoundingUs = 3;  // of a small kernel before products

// Of one rank, for a number of tokens. Each expert is as likely as the others.
struct Work {
  double bytes = 0;                 // of weights, and of activations that come from memory and go there
  double products = 0;              // additions are counted, too: two each
  std::uint32_t num_roundings = 0;  // kernels that round activations before products
};

// `whole_experts`: of all ranks. weight_bytes: of the rank's layer.
[[nodiscard]] Work work_of(const Layer& shard, Activation activation, std::uint32_t whole_experts,
                           std::uint64_t weight_bytes, std::uint32_t num_tokens);

[[nodiscard]] double gpu_time_us(const Work& work, const kernels::DeviceSpeed& speed, const DeviceRates& rates);
[[nodiscard]] double cpu_time_us(const Work& work, const Layer& shard, Activation activation, InstructionSet kernel_set,
                                 const Cpu& cpu);

}  // namespace nvfp4::plan
