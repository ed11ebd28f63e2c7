#include "kernels/cpu_portable/linear_loops.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/bf16.h"
#include "formats/nvfp4_block.h"
#include "kernels/cpu_portable/row_decoder.h"
#include "kernels/cpu_shared/activation_rows.h"
#include "kernels/cpu_shared/row_scale.h"

namespace nvfp4::kernels::cpu_portable {
namespace {

constexpr std::uint64_t kRowsPerTile = 4;
constexpr std::uint64_t kRowsPerPiece = 32;
constexpr std::uint64_t kLanes = 8;

using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

// Sums of kRowsPerTile decoded rows w [kRowsPerTile, k] with one token.
void dot_tile(const float* w, const float* x, std::uint64_t k, std::array<float, kRowsPerTile>& sums) {
  Lanes lanes[kRowsPerTile] = {};
  const std::uint64_t whole = k / kLanes * kLanes;
  for (std::uint64_t i = 0; i < whole; i += kLanes) {
    Lanes a;
    std::memcpy(&a, x + i, sizeof(a));  // rows lie at any multiple of four bytes
    for (std::uint64_t r = 0; r < kRowsPerTile; ++r) {
      Lanes b;
      std::memcpy(&b, w + r * k + i, sizeof(b));
      lanes[r] += a * b;
    }
  }
  for (std::uint64_t r = 0; r < kRowsPerTile; ++r) {
    Lanes& l = lanes[r];
    for (std::uint64_t i = whole; i < k; ++i) l[i - whole] += x[i] * w[r * k + i];
    sums[r] = ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
  }
}

struct Job {
  const LinearWeight& weight;
  const LinearArgs& args;
  const float* x;                          // [num_rows, in] after rounding
  const float* multipliers;                // [num_rows]; null: 1
  std::span<const std::uint32_t> experts;  // those with rows
  std::uint64_t pieces_per_expert;
};

std::uint32_t first_row(const LinearArgs& args, std::uint32_t expert_idx) {
  return args.expert_offsets.empty() ? 0 : args.expert_offsets[expert_idx];
}

std::uint32_t end_row(const LinearArgs& args, std::uint32_t expert_idx) {
  return args.expert_offsets.empty() ? args.num_rows : args.expert_offsets[expert_idx + 1];
}

// Output rows [n, n + num_tile_rows) of one expert for all its tokens; decoded is scratch [kRowsPerTile, in].
void run_tile(const Job& job, std::uint32_t expert_idx, std::uint64_t n, std::uint64_t num_tile_rows, float* decoded) {
  const LinearWeight& weight = job.weight;
  std::array<float, kRowsPerTile> scales{};
  for (std::uint64_t r = 0; r < num_tile_rows; ++r) {
    decode_row(weight, expert_idx, n + r, decoded + r * weight.in_features);
    scales[r] = cpu_shared::scale_of_row(weight, expert_idx, n + r);
  }
  std::array<float, kRowsPerTile> sums{};
  for (std::uint32_t t = first_row(job.args, expert_idx); t < end_row(job.args, expert_idx); ++t) {
    dot_tile(decoded, job.x + t * weight.in_features, weight.in_features, sums);
    const float multiplier = job.multipliers == nullptr ? 1.0F : job.multipliers[t];
    float* const y = job.args.y + t * weight.out_features + n;
    for (std::uint64_t r = 0; r < num_tile_rows; ++r) {
      y[r] = sums[r] * (scales[r] * multiplier);
      if (!weight.bias.empty()) y[r] += weight.bias[n + r];
      if (job.args.round_to_bf16) y[r] = round_to_bf16(y[r]);
    }
  }
}

void run_piece(const Job& job, std::size_t piece_idx, float* decoded) {
  const std::uint32_t expert_idx = job.experts[piece_idx / job.pieces_per_expert];
  const std::uint64_t begin = piece_idx % job.pieces_per_expert * kRowsPerPiece;
  const std::uint64_t end = std::min(begin + kRowsPerPiece, job.weight.out_features);
  for (std::uint64_t n = begin; n < end; n += kRowsPerTile) {
    run_tile(job, expert_idx, n, std::min(kRowsPerTile, end - n), decoded);
  }
}

std::span<const std::uint32_t> experts_with_rows(const LinearWeight& weight, const LinearArgs& args,
                                                 Workspace& workspace) {
  const std::span<std::uint32_t> experts = workspace.take<std::uint32_t>(weight.num_experts);
  std::size_t count = 0;
  for (std::uint32_t e = 0; e < weight.num_experts; ++e) {
    if (end_row(args, e) > first_row(args, e)) experts[count++] = e;
  }
  return experts.first(count);
}

// The rounded input and its multipliers, in the workspace.
void round_input(const LinearWeight& weight, Activation activation, const LinearArgs& args,
                 std::span<const std::uint32_t> experts, std::span<float> x, std::span<float> multipliers,
                 WorkerPool& pool) {
  for (const std::uint32_t e : experts) {
    const std::uint32_t begin = first_row(args, e);
    pool.run(end_row(args, e) - begin, [&](std::size_t i, std::size_t) {
      const std::size_t t = begin + i;
      multipliers[t] = cpu_shared::round_row(weight, activation, e, args.x + t * weight.in_features,
                                             x.data() + t * weight.in_features);
    });
  }
}

void run(const LinearWeight& weight, Activation activation, const LinearArgs& args, Workspace& workspace,
         WorkerPool& pool) {
  const Workspace::Mark mark(workspace);
  const std::span<const std::uint32_t> experts = experts_with_rows(weight, args, workspace);
  Job job{weight, args, args.x, nullptr, experts, (weight.out_features + kRowsPerPiece - 1) / kRowsPerPiece};
  if (cpu_shared::rounds_input(weight, activation)) {
    const std::span<float> x = workspace.take<float>(args.num_rows * weight.in_features);
    const std::span<float> multipliers = workspace.take<float>(args.num_rows);
    round_input(weight, activation, args, experts, x, multipliers, pool);
    job.x = x.data();
    job.multipliers = multipliers.data();
  }
  const std::size_t tile_floats = kRowsPerTile * weight.in_features;
  const std::span<float> decoded = workspace.take<float>(tile_floats * pool.num_workers());
  std::fill(decoded.begin(), decoded.end(), 0.0F);
  pool.run(experts.size() * job.pieces_per_expert, [&](std::size_t piece_idx, std::size_t worker_idx) {
    run_piece(job, piece_idx, decoded.data() + worker_idx * tile_floats);
  });
}

std::size_t workspace_bytes(const LinearProblem& problem, std::uint32_t num_rows, std::size_t num_workers) {
  return Workspace::bytes_for<std::uint32_t>(problem.num_experts) +
         Workspace::bytes_for<float>(num_rows * problem.in_features) + Workspace::bytes_for<float>(num_rows) +
         Workspace::bytes_for<float>(kRowsPerTile * problem.in_features * num_workers);
}

enum class Input : std::uint8_t { kF32, kNvfp4, kFp8 };

Input input_of(Activation activation) {
  switch (activation) {
    case Activation::k16Bit:
      return Input::kF32;
    case Activation::kNvfp4Static:
    case Activation::kNvfp4Dynamic:
      return Input::kNvfp4;
    case Activation::kFp8Static:
    case Activation::kFp8Dynamic:
      return Input::kFp8;
  }
  return Input::kF32;
}

template <WeightFormat weight, Input input>
std::string refusal(const LinearProblem& problem) {
  if (problem.weight != weight) return fmt::format("weights are {}", weight_format_name(problem.weight));
  if (input_of(problem.activation) != input) {
    return fmt::format("activations are {}", activation_name(problem.activation));
  }
  if (weight == WeightFormat::kNvfp4 && (problem.block_size == 0 || problem.in_features % problem.block_size != 0)) {
    return fmt::format("in_features {} is not a multiple of the block size {}", problem.in_features,
                       problem.block_size);
  }
  if (input == Input::kNvfp4 && problem.in_features % kNvfp4BlockSize != 0) {
    return fmt::format("in_features {} is not a multiple of {}", problem.in_features, kNvfp4BlockSize);
  }
  return {};
}

constexpr InstructionSet kAny = InstructionSet::kPortable;
constexpr WeightLayout kAsStored = WeightLayout::kRowMajor;
constexpr std::array kKernels = {
    LinearKernel{"linear_nvfp4_f32_loops", kAny, kAsStored, refusal<WeightFormat::kNvfp4, Input::kF32>, workspace_bytes,
                 run},
    LinearKernel{"linear_nvfp4_nvfp4_loops", kAny, kAsStored, refusal<WeightFormat::kNvfp4, Input::kNvfp4>,
                 workspace_bytes, run},
    LinearKernel{"linear_fp8_f32_loops", kAny, kAsStored, refusal<WeightFormat::kFp8, Input::kF32>, workspace_bytes,
                 run},
    LinearKernel{"linear_fp8_fp8_loops", kAny, kAsStored, refusal<WeightFormat::kFp8, Input::kFp8>, workspace_bytes,
                 run},
    LinearKernel{"linear_bf16_f32_loops", kAny, kAsStored, refusal<WeightFormat::kBF16, Input::kF32>, workspace_bytes,
                 run},
    LinearKernel{"linear_f16_f32_loops", kAny, kAsStored, refusal<WeightFormat::kF16, Input::kF32>, workspace_bytes,
                 run},
    LinearKernel{"linear_f32_f32_loops", kAny, kAsStored, refusal<WeightFormat::kF32, Input::kF32>, workspace_bytes,
                 run},
};

}  // namespace

std::span<const LinearKernel> linear_loops() { return kKernels; }

}  // namespace nvfp4::kernels::cpu_portable
