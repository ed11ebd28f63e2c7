#include "layers/linear.h"

#include <algorithm>
#include <cassert>

#include "prepare/relayout.h"

namespace nvfp4::layers {

Result<Linear> Linear::create(prepare::PreparedWeight weight, std::vector<ServingKernel> kernels, WorkerPool& pool) {
  if (!kernels.empty()) NVFP4_RETURN_IF_ERROR(prepare::relayout(weight, kernels.front().kernel->layout, pool));
  return Linear(std::move(weight), std::move(kernels));
}

Result<Linear> Linear::create(prepare::PreparedWeight weight, InstructionSet instruction_set, WorkerPool& pool) {
  weight.look_at_scales(pool);
  const auto choice = kernels::choose_linear(weight.problem(), instruction_set, weight.name);
  NVFP4_RETURN_IF_ERROR(choice);
  return create(std::move(weight), {{ServingKernel::kAllRows, choice->kernel}}, pool);
}

const kernels::LinearKernel& Linear::kernel_for(std::uint32_t num_rows) const {
  assert(!kernels_.empty());
  for (const ServingKernel& serving : kernels_) {
    if (num_rows <= serving.last_rows) return *serving.kernel;
  }
  return *kernels_.back().kernel;
}

void Linear::run(std::span<const float> x, std::uint32_t num_rows, std::span<float> y, const Context& context,
                 std::span<const std::uint32_t> expert_offsets) const {
  assert(x.size() == num_rows * in_features() && y.size() == num_rows * out_features());
  const bool round_to_bf16 = context.precision == Precision::kBF16;
  const kernels::LinearArgs args{x.data(), y.data(), num_rows, expert_offsets, round_to_bf16};
  kernel_for(num_rows).run(weight_.view(), weight_.activation, args, context.workspace, context.pool);
}

// One kernel does both when they have it in common.
bool Linear::run_together(const Linear& gate, const Linear& up, std::uint32_t num_rows) {
  const kernels::LinearKernel& kernel = gate.kernel_for(num_rows);
  return &kernel == &up.kernel_for(num_rows) && kernel.run_gated != nullptr &&
         gate.weight_.activation == up.weight_.activation;
}

void Linear::run_gated(const Linear& gate, const Linear& up, kernels::GateFunction function, std::span<const float> x,
                       std::uint32_t num_rows, std::span<float> y, const Context& context,
                       std::span<const std::uint32_t> expert_offsets) {
  assert(y.size() == num_rows * gate.out_features() && gate.out_features() == up.out_features());
  if (run_together(gate, up, num_rows)) {
    const bool round_to_bf16 = context.precision == Precision::kBF16;
    const kernels::LinearArgs args{x.data(), y.data(), num_rows, expert_offsets, round_to_bf16};
    gate.kernel_for(num_rows).run_gated({gate.weight_.view(), up.weight_.view(), function, context.rows},
                                        gate.weight_.activation, args, context.workspace, context.pool);
    return;
  }
  const Workspace::Mark mark(context.workspace);
  const std::span<float> up_values = context.workspace.take<float>(y.size());
  gate.run(x, num_rows, y, context, expert_offsets);
  up.run(x, num_rows, up_values, context, expert_offsets);
  constexpr std::size_t kGrain = 4096;
  context.pool.run_ranges(y.size(), kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
    context.rows.gated(function, y.data() + begin, up_values.data() + begin, y.data() + begin, end - begin,
                       context.rounding());
  });
}

// Of the number of rows that takes the most: a kernel for fewer rows may take more than the one for num_rows.
std::size_t Linear::gated_workspace_bytes(const Linear& gate, const Linear& up, std::uint32_t num_rows,
                                          std::size_t num_workers) {
  const auto bytes_of = [&](std::uint32_t rows) {
    if (run_together(gate, up, rows)) {
      return gate.kernel_for(rows).gated_workspace_bytes(gate.weight_.problem(), rows, num_workers);
    }
    return Workspace::bytes_for<float>(rows * up.out_features()) +
           std::max(gate.workspace_bytes(rows, num_workers), up.workspace_bytes(rows, num_workers));
  };
  std::size_t most = bytes_of(num_rows);
  for (const Linear* linear : {&gate, &up}) {
    for (const ServingKernel& serving : linear->kernels_) {
      if (serving.last_rows < num_rows) most = std::max(most, bytes_of(serving.last_rows));
    }
  }
  return most;
}

std::size_t Linear::workspace_bytes(std::uint32_t num_rows, std::size_t num_workers) const {
  std::size_t most = kernel_for(num_rows).workspace_bytes(weight_.problem(), num_rows, num_workers);
  for (const ServingKernel& serving : kernels_) {
    if (serving.last_rows >= num_rows) continue;
    most = std::max(most, serving.kernel->workspace_bytes(weight_.problem(), serving.last_rows, num_workers));
  }
  return most;
}

}  // namespace nvfp4::layers
