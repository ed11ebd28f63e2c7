// Parts of weights on a GPU back on the host, in the order of the file: what a reference reads.
#pragma once

#include <cstdint>
#include <span>

#include "base/worker_pool.h"
#include "device/device_stream.h"
#include "kernels/contract/device_moe.h"
#include "nvfp4/result.h"
#include "prepare/device_weight.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

// Whole groups of 16 rows of a linear layer (the last may have fewer), one after the other, each row with its scale.
[[nodiscard]] Result<PreparedWeight> rows_to_host(const DeviceLinear& weight, std::span<const std::uint64_t> row_groups,
                                                  DeviceStream stream);

// Some of a layer's experts, at least one, in the given order.
[[nodiscard]] Result<ExpertProjections> experts_to_host(const DeviceExpertWeights& weights,
                                                        const kernels::MoeProblem& problem,
                                                        std::span<const std::uint32_t> experts, DeviceStream stream,
                                                        WorkerPool& pool);

}  // namespace nvfp4::prepare
