#include "kernels/cuda_shared/round_octets.cuh"
#include "kernels/cuda_shared/round_rows.h"
#include "kernels/cuda_shared/shared_carveout.h"

namespace nvfp4::kernels {
namespace {

__global__ void __launch_bounds__(1024) round_rows_kernel(const __grid_constant__ RoundRows r) {
  let_next_kernel_start();
  if (!r.ids_are_early) wait_for_earlier_kernels();
  const std::uint32_t pair = blockIdx.x;
  const std::int32_t expert = r.expert_ids == nullptr ? 0 : expert_place(r.lookup, r.expert_ids[pair]);
  const bool is_static = r.input_scales != nullptr;
  RowScale row;
  if (is_static && expert >= 0) row = RowScale::from_stored(r.rule, r.input_scales[expert]);
  if (r.ids_are_early) wait_for_earlier_kernels();
  if (expert < 0) return;
  const std::size_t place = std::size_t{pair} * r.num_cols;
  const auto load = [from = r.h + place](std::uint32_t col, OctetFloats& octet) { octet.load(from + col); };
  round_part_of_row<OctetFloats>(load, r.num_cols, is_static, row, r.values + place, r.factors + pair);
}

}  // namespace

Status let_round_rows_overlap() { return take_all_as_shared_memory("round rows", round_rows_kernel); }

Status round_rows(const RoundRows& round, DeviceStream stream) {
  constexpr std::uint32_t kFewRows = 256;
  const OctetShape shape =
      round.num_rows <= kFewRows ? OctetShape::of_few_rows(round.num_cols) : OctetShape::of_many_rows(round.num_cols);
  return launch("round rows", round_rows_kernel, shape.launch_shape(round.num_rows), stream, round);
}

}  // namespace nvfp4::kernels
