// linear_nvfp4_*: NVFP4 weights in tiles, on any instruction set that offers TileKernels.
//
//   Inputs are packed once, then workers share the output rows. An expert with few tokens: tiles are decoded in
//   registers as they stream by, all tokens at once. With many: 32 rows x 512 columns at a time are decoded into a
//   panel in the L1 cache, and all tokens of a chunk go over it. Both ways give the same bits.
//   Bound: memory for few tokens, the rate of byte dot products for many.
#pragma once

#include <span>
#include <string>

#include "kernels/cpu_shared/tile_kernels.h"

namespace nvfp4::kernels::cpu_shared {

enum class TileInput : std::uint8_t { kDigits, kCodes };

[[nodiscard]] std::string tile_linear_refusal(TileInput input, const LinearProblem& problem);
// Of a plain layer, or of a gated pair.
[[nodiscard]] std::size_t tile_linear_workspace_bytes(const TileKernels& kernels, const LinearProblem& problem,
                                                      std::uint32_t num_rows, std::size_t num_workers, bool gated);
void run_tile_linear(const TileKernels& kernels, const LinearWeight& weight, Activation activation,
                     const LinearArgs& args, Workspace& workspace, WorkerPool& pool);
void run_gated_tile_linear(const TileKernels& kernels, const GatedPair& pair, Activation activation,
                           const LinearArgs& args, Workspace& workspace, WorkerPool& pool);

// The catalogue's entry.
template <const TileKernels& kKernels, TileInput kInput>
constexpr LinearKernel tile_linear_kernel(std::string_view name, InstructionSet needs) {
  return {name,
          needs,
          WeightLayout::kTile16x64,
          [](const LinearProblem& problem) { return tile_linear_refusal(kInput, problem); },
          [](const LinearProblem& problem, std::uint32_t num_rows, std::size_t num_workers) {
            return tile_linear_workspace_bytes(kKernels, problem, num_rows, num_workers, false);
          },
          [](const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
             WorkerPool& pool) { run_tile_linear(kKernels, weight, activation, args, workspace, pool); },
          [](const LinearProblem& problem, std::uint32_t num_rows, std::size_t num_workers) {
            return tile_linear_workspace_bytes(kKernels, problem, num_rows, num_workers, true);
          },
          [](const GatedPair& pair, Activation activation, const LinearArgs& args, Workspace& workspace,
             WorkerPool& pool) { run_gated_tile_linear(kKernels, pair, activation, args, workspace, pool); }};
}

}  // namespace nvfp4::kernels::cpu_shared
