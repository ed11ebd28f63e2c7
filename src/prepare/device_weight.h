// Weights on the device, as kernels there read them: made once from prepared ones, which are not needed afterwards.
#pragma once

#include <optional>
#include <string>

#include "base/worker_pool.h"
#include "device/buffer.h"
#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "nvfp4/result.h"
#include "prepare/device_stager.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

// Of one linear layer.
struct DeviceLinear {
  std::string name;
  kernels::DeviceLinearProblem problem;
  kernels::DeviceWeightLayout layout = kernels::DeviceWeightLayout::kRowMajor;  // of elements; the stager's for NVFP4
  Buffer elements, row_scales, pre_quant_scale, bias;
  kernels::DeviceShardScales shards;
  float input_scale = 1.0F;

  [[nodiscard]] kernels::DeviceLinearWeight view() const;
};

// Of the experts of a layer, or of one shared expert.
struct DeviceExpertWeights {
  kernels::DeviceWeightLayout layout = kernels::DeviceWeightLayout::kFragment16x64;  // the stager's
  Buffer gate_up, down;
  Buffer gate_scale2, up_scale2, down_scale2, fc1_input_scale, fc2_input_scale;

  [[nodiscard]] kernels::DeviceExperts view() const;
  [[nodiscard]] std::uint64_t num_bytes() const;
};

// The three projections of experts, row-major; without a gate: up and down.
struct ExpertProjections {
  std::optional<PreparedWeight> gate;
  PreparedWeight up, down;
};

// The problem that a weight is, or why it cannot go to the device; nothing is moved. look_at_scales() was called.
[[nodiscard]] Result<kernels::DeviceLinearProblem> device_linear_problem(const PreparedWeight& weight);
// Of experts: sizes, activation, rule and one_fc1_input_scale are set. What a layer adds (top_k, function, shared
// expert, expert map) is not.
[[nodiscard]] Result<kernels::MoeProblem> device_expert_problem(const ExpertProjections& experts);

// Row-major weights of the host onto the active device; their memory goes when the call returns. The stager was made
// with the packer of the layout that the layer's kernel reads (its nvfp4_layout).
[[nodiscard]] Result<DeviceLinear> move_to_device(PreparedWeight weight, DeviceStager& stager, WorkerPool& pool);
[[nodiscard]] Result<DeviceExpertWeights> move_to_device(ExpertProjections experts, DeviceStager& stager,
                                                         WorkerPool& pool);

}  // namespace nvfp4::prepare
