// The kernels of one kind of weights in all shapes, and their launch.
#pragma once

#include <array>
#include <string>
#include <utility>

#include "kernels/cuda_sm80/allow_shared.h"
#include "kernels/cuda_sm80/linear_rows_few.cuh"
#include "kernels/cuda_sm80/linear_rows_many.cuh"
#include "kernels/cuda_sm80/linear_rows_plan.h"

namespace nvfp4::kernels::cuda_sm80 {

template <class Weight>
class RowsLaunch {
 public:
  // Shared memory that the kernels may have; before the first launch.
  static Status allow(const char* name, std::uint32_t shared_bytes) {
    for (const Few kernel : kFew) NVFP4_RETURN_IF_ERROR(allow_shared(name, kernel, shared_bytes));
    for (const Many kernel : kMany) NVFP4_RETURN_IF_ERROR(allow_shared(name, kernel, shared_bytes));
    return {};
  }

  static Status run(const char* name, const DeviceLinearPlan& plan, const DeviceLinearWeight& weight,
                    const DeviceLinearArgs& args, const DeviceWorkspace& workspace, DeviceStream stream) {
    NVFP4_RETURN_IF_ERROR(check_device_linear_call(plan, weight, args, workspace));
    if (args.num_tokens == 0) return {};
    const auto call = begin_rows(plan, weight, args, workspace, stream);
    NVFP4_RETURN_IF_ERROR(call);
    const RowsChoice choice = choose_rows(rows_layer(plan), args.num_tokens);
    if (choice.is_few) return run_few(name, choice.few, *call, stream);
    const LaunchShape launched{.blocks = choice.tiles.num_blocks(),
                               .num_threads = choice.many().threads(),
                               .shared_bytes = many_shared_bytes(rows_layer(plan), choice.tiles)};
    return launch(name, kMany[choice.tiles.kind_idx], launched, stream, *call,
                  rows_grid(plan, choice.tiles, workspace));
  }

 private:
  using Few = void (*)(RowsCall);
  using Many = void (*)(RowsCall, RowsGrid);

  static constexpr const auto& few_shapes() {
    if constexpr (Weight::kBytes == 1) {
      return kFewShapesFp8;
    } else {
      return kFewShapesBf16;
    }
  }
  template <std::size_t... kIdx>
  static constexpr std::array<Few, sizeof...(kIdx)> all_few(std::index_sequence<kIdx...> /*indices*/) {
    return {linear_rows_few<Weight, few_shapes()[kIdx].groups, few_shapes()[kIdx].columns>...};
  }
  static constexpr auto kFew = all_few(std::make_index_sequence<few_shapes().size()>());
  template <std::size_t... kIdx>
  static constexpr std::array<Many, sizeof...(kIdx)> all_many(std::index_sequence<kIdx...> /*indices*/) {
    return {linear_rows_many<Weight, kIdx>...};
  }
  static constexpr auto kMany = all_many(std::make_index_sequence<num_many_shapes(Weight::kBytes)>());

  static Status run_few(const char* name, const FewShape& shape, const RowsCall& call, DeviceStream stream) {
    const LaunchShape launched{.blocks = (call.output.num_features + shape.rows() - 1) / shape.rows(),
                               .num_threads = FewShape::kThreads,
                               .shared_bytes = shape.shared_bytes(Weight::kBytes)};
    std::size_t idx = 0;
    while (few_shapes()[idx].groups != shape.groups || few_shapes()[idx].columns != shape.columns) ++idx;
    return launch(name, kFew[idx], launched, stream, call);
  }
};

}  // namespace nvfp4::kernels::cuda_sm80
