// Random weights made on a GPU, as kernels there read them: a layer of gigabytes in milliseconds.
#pragma once

#include <cstdint>
#include <string>

#include "device/device_stream.h"
#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "nvfp4/result.h"
#include "prepare/device_weight.h"

namespace nvfp4::prepare {

// Weights of about the variance 1 / in_features under scales that are different for every matrix and shard; input
// scales under which activations of unit variance fit; a pre_quant_scale of powers of two. The layout is one for NVFP4
// weights; others are row-major. `key` decides every byte; `name` begins errors. Returns when all is there.
[[nodiscard]] Result<DeviceLinear> random_device_linear(const kernels::DeviceLinearProblem& problem,
                                                        kernels::DeviceWeightLayout layout, std::uint64_t key,
                                                        const std::string& name, DeviceStream stream);
// Without a shared expert.
[[nodiscard]] Result<DeviceExpertWeights> random_device_experts(const kernels::MoeProblem& problem,
                                                                kernels::DeviceWeightLayout layout, std::uint64_t key,
                                                                const std::string& name, DeviceStream stream);

}  // namespace nvfp4::prepare
