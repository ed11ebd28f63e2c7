// The linear operation, plain and grouped by experts:
//
//   y[t, n] = bias[n] + sum_k A(x[t, k]) * W_e[n, k]     rows [expert_offsets[e], expert_offsets[e + 1]): expert e
//
//   W   NVFP4: e2m1(code) * e4m3(block scale) * scale2 of the shard; FP8: e4m3 * scale2 (or the row's scale); or plain
//   A   x, times pre_quant_scale[k] if there is one (AWQ). k16Bit: no more than that. Otherwise rounded to NVFP4
//       or E4M3 under the expert's input scale, or under the row's own (dynamic): amax / 2688 and amax / 448, or 1
//       where that is zero. A row with a NaN or an infinity becomes all NaN: no overflow goes unseen.
//
// At k16Bit an infinity in a row may make all of it NaN too.
// Every y[t, n] is summed in an order that depends on k alone: not on the other rows, the experts, or the workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/cpu_features.h"
#include "base/worker_pool.h"
#include "base/workspace.h"
#include "kernels/contract/row_kernels.h"
#include "nvfp4/quantize.h"
#include "nvfp4/tensor.h"

namespace nvfp4::kernels {

enum class WeightFormat : std::uint8_t { kF32, kF16, kBF16, kFp8, kNvfp4 };
[[nodiscard]] std::string_view weight_format_name(WeightFormat format);  // "f32", "f16", "bf16", "fp8", "nvfp4"
[[nodiscard]] std::size_t bits_per_weight(WeightFormat format);          // without scales

// How the elements and block scales of a weight lie in memory.
enum class WeightLayout : std::uint8_t {
  kRowMajor,   // elements [experts, out, in] and block_scales [experts, out, in / block_size], as in the file
  kTile16x64,  // NVFP4 in tiles that hold codes and scales (layouts/tile_16x64.h); no block_scales
};

// What a kernel must know to say whether it serves a layer.
struct LinearProblem {
  WeightFormat weight = WeightFormat::kBF16;
  Activation activation = Activation::k16Bit;
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
  std::uint32_t num_experts = 1;
  std::uint32_t block_size = 0;  // NVFP4: weights per block scale
  bool odd_scales = false;       // a block scale is negative or NaN
};

// A prepared weight. Views; the owner outlives the call.
struct LinearWeight {
  WeightFormat format = WeightFormat::kBF16;
  std::uint32_t num_experts = 1;
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
  std::uint32_t block_size = 0;
  WeightLayout layout = WeightLayout::kRowMajor;
  const std::byte* elements = nullptr;         // row-major NVFP4: codes [experts, out, in / 2]
  const std::uint8_t* block_scales = nullptr;  // E4M3; row-major only
  std::span<const std::uint64_t> shard_rows;   // [shards], adds up to out_features; empty: one shard
  std::span<const float> scale2;               // [experts, shards]; FP8 per row: [experts, out]; plain: empty
  bool per_row_scale = false;
  std::span<const float> input_scale;  // [experts] as the producer stores it; empty: dynamic or 16-bit
  QuantizerRule input_rule = QuantizerRule::kModelOpt;
  std::span<const float> pre_quant_scale;  // [in] or empty
  std::span<const float> bias;             // [out] or empty; one expert only
};

struct LinearArgs {
  const float* x = nullptr;  // [num_rows, in]
  float* y = nullptr;        // [num_rows, out]
  std::uint32_t num_rows = 0;
  std::span<const std::uint32_t> expert_offsets;  // [experts + 1], first 0, last num_rows; empty: one expert
  bool round_to_bf16 = false;                     // every y to the nearest BF16 number
};

// Two layers with the same input, multiplied element by element:
//
//   y = round(round(f(round(gate(x)))) * round(up(x)))     round: to BF16 if args.round_to_bf16
struct GatedPair {
  const LinearWeight& gate;
  const LinearWeight& up;
  GateFunction function = GateFunction::kSilu;
  const RowKernels& rows;
};

struct LinearKernel {
  std::string_view name;
  InstructionSet needs = InstructionSet::kPortable;
  WeightLayout layout = WeightLayout::kRowMajor;  // in which run() gets its weight
  // Empty when the kernel serves the problem, else the reason why it does not, in words.
  std::string (*refusal)(const LinearProblem& problem);
  // Bytes that run() takes from its workspace for at most num_rows rows on num_workers workers.
  std::size_t (*workspace_bytes)(const LinearProblem& problem, std::uint32_t num_rows, std::size_t num_workers);
  void (*run)(const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
              WorkerPool& pool);
  // The same for a pair of weights that this kernel serves and that have the same problem; null: run() twice.
  std::size_t (*gated_workspace_bytes)(const LinearProblem& problem, std::uint32_t num_rows,
                                       std::size_t num_workers) = nullptr;
  void (*run_gated)(const GatedPair& pair, Activation activation, const LinearArgs& args, Workspace& workspace,
                    WorkerPool& pool) = nullptr;
  std::uint32_t version = 1;  // raised when its speed changes: what was measured of the old one counts no more
};

}  // namespace nvfp4::kernels
