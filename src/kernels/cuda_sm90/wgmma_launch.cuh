// Launching the kernel of wgmma_kernel.cuh, with up to 32, 64, 128 or 256 tokens in a tile.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_sm90/tensor_maps.h"
#include "kernels/cuda_sm90/wgmma_kernel.cuh"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

// One matrix, or one of each expert, and how it is cut into tiles.
struct WgmmaRun {
  const std::uint8_t* weights = nullptr;  // [E][row_groups][ceil(K / 64)][576]
  std::uint32_t num_experts = 1;
  std::uint32_t row_groups = 0;  // of one expert
  std::uint32_t in_features = 0;
  const std::int32_t* offsets = nullptr;  // [E + 1] first sorted row of each expert; null: one expert, num_rows
  std::uint32_t num_rows = 0;
  std::uint32_t kind = 0;         // of WgmmaShape
  std::uint32_t max_columns = 0;  // tokens of a tile, up to that; 0: that
  std::uint32_t band = 0;         // row tiles side by side; 0: all
  std::uint32_t num_splits = 1;
  float4* parts = nullptr;            // WgmmaProblem
  std::uint32_t* arrivals = nullptr;  // WgmmaProblem
  std::uint32_t num_sms = 0;
};

// Before the first launch, on the current device.
template <class Epilogue, std::uint32_t kKind, bool kSplit = false>
Status allow_wgmma(const char* name) {
  const cudaError_t error =
      cudaFuncSetAttribute(wgmma_kernel<Epilogue, kKind, kSplit>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(WgmmaShape<kKind>::kSharedBytes));
  if (error == cudaSuccess) return {};
  return Error{ErrorCode::kUnsupported, name,
               std::string(cudaGetErrorString(error)) + "; the kernel cannot run on this device"};
}

template <std::uint32_t kKind, bool kSplit = false, class Epilogue>
Status launch_wgmma(const char* name, const WgmmaRun& run, const Epilogue& epilogue, DeviceStream stream) {
  using Shape = WgmmaShape<kKind>;
  WgmmaProblem problem;
  problem.offsets = run.offsets;
  problem.num_experts = run.num_experts;
  problem.num_rows = run.num_rows;
  problem.row_groups = run.row_groups;
  problem.k_tiles = (run.in_features + 63) / 64;
  problem.in_features = run.in_features;
  problem.tile_groups = Shape::kTileGroups;
  problem.row_tiles = (run.row_groups + Shape::kTileGroups - 1) / Shape::kTileGroups;
  problem.band = run.band == 0 ? problem.row_tiles : std::min(run.band, problem.row_tiles);
  problem.max_columns = run.max_columns == 0 ? Shape::kMaxColumns : run.max_columns;
  problem.num_splits = run.num_splits;
  problem.parts = run.parts;
  problem.arrivals = run.arrivals;
  NVFP4_RETURN_IF_ERROR(weight_map(run.weights, run.num_experts, run.row_groups, problem.k_tiles, Shape::kTileGroups,
                                   Shape::kStageTiles, problem.weights));
  LaunchShape shape{
      .blocks = run.num_sms * Shape::kBlocksPerSm, .num_threads = Shape::kThreads, .shared_bytes = Shape::kSharedBytes};
  if (run.offsets == nullptr) {
    const std::uint32_t tiles = problem.row_tiles * ((run.num_rows + problem.max_columns - 1) / problem.max_columns);
    shape.blocks = kSplit ? tiles * run.num_splits : std::min(shape.blocks.x, tiles);
  }
  if (kSplit && !Shape::kSplitsInMemory) shape.cluster = run.num_splits;
  return launch(name, wgmma_kernel<Epilogue, kKind, kSplit>, shape, stream, problem, epilogue);
}

// The kind of large tiles for an epilogue.
template <class Epilogue>
inline constexpr std::uint32_t kMany = Epilogue::kByLines ? kLines128 : 128;

// The kinds of one epilogue, up to its kMostColumns.
template <class Epilogue>
Status allow_grouped_wgmma(const char* name) {
  NVFP4_RETURN_IF_ERROR((allow_wgmma<Epilogue, 32>(name)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<Epilogue, 64>(name)));
  if constexpr (Epilogue::kMostColumns > 128) NVFP4_RETURN_IF_ERROR((allow_wgmma<Epilogue, 256>(name)));
  return allow_wgmma<Epilogue, kMany<Epilogue>>(name);
}

template <class Epilogue>
Status launch_grouped_wgmma(const char* name, const WgmmaRun& run, const Epilogue& epilogue, DeviceStream stream) {
  if (run.kind <= 32) return launch_wgmma<32>(name, run, epilogue, stream);
  if (run.kind <= 64) return launch_wgmma<64>(name, run, epilogue, stream);
  if constexpr (Epilogue::kMostColumns > 128) {
    if (run.kind > 128) return launch_wgmma<256>(name, run, epilogue, stream);
  }
  return launch_wgmma<kMany<Epilogue>>(name, run, epilogue, stream);
}

// For the file that compiles an epilogue's kernels, and for the others.
#define NVFP4_GROUPED_WGMMA(EXTERN, ...)                                                                     \
  EXTERN template Status allow_grouped_wgmma<__VA_ARGS__>(const char*);                                      \
  EXTERN template Status launch_grouped_wgmma<__VA_ARGS__>(const char*, const WgmmaRun&, const __VA_ARGS__&, \
                                                           DeviceStream)

}  // namespace nvfp4::kernels::cuda_sm90
