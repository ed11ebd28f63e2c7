#include "layers/linear.h"

#include <cassert>

#include "prepare/relayout.h"

namespace nvfp4::layers {

Result<Linear> Linear::create(prepare::PreparedWeight weight, InstructionSet instruction_set, WorkerPool& pool) {
  auto choice = kernels::choose_linear(weight.problem(), instruction_set, weight.name);
  NVFP4_RETURN_IF_ERROR(choice);
  NVFP4_RETURN_IF_ERROR(prepare::relayout(weight, choice->kernel->layout, pool));
  return Linear(std::move(weight), std::move(choice).value());
}

void Linear::run(std::span<const float> x, std::uint32_t num_rows, std::span<float> y, const Context& context,
                 std::span<const std::uint32_t> expert_offsets) const {
  assert(x.size() == num_rows * in_features() && y.size() == num_rows * out_features());
  const bool round_to_bf16 = context.precision == Precision::kBF16;
  const kernels::LinearArgs args{x.data(), y.data(), num_rows, expert_offsets, round_to_bf16};
  choice_.kernel->run(weight_.view(), weight_.activation, args, context.workspace, context.pool);
}

std::size_t Linear::workspace_bytes(std::uint32_t num_rows, std::size_t num_workers) const {
  return choice_.kernel->workspace_bytes(weight_.problem(), num_rows, num_workers);
}

}  // namespace nvfp4::layers
