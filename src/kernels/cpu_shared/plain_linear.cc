#include "kernels/cpu_shared/plain_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/cpu_shared/activation_rows.h"
#include "kernels/cpu_shared/row_scale.h"

namespace nvfp4::kernels::cpu_shared::plain {
namespace {

// Tokens [begin, end) of one expert.
struct Unit {
  std::uint32_t expert_idx, begin, end;
};

struct Job {
  const Code& code;
  const LinearWeight& weight;
  const LinearArgs& args;
  std::span<const Unit> units;
  const float* x;  // [num_rows, x_stride] as a piece has it
  std::uint64_t x_stride;
  const float* multipliers;  // [num_rows]; null: 1
  std::size_t row_bytes;
  std::uint64_t blocks_per_unit;
};

std::uint64_t padded(std::uint64_t in_features) { return (in_features + kLanes - 1) / kLanes * kLanes; }

std::size_t max_units(std::uint32_t num_experts, std::uint32_t num_rows) {
  return num_experts + num_rows / kUnitTokens;
}

std::span<const Unit> make_units(const LinearWeight& weight, const LinearArgs& args, std::span<Unit> units) {
  std::uint32_t count = 0;
  for (std::uint32_t e = 0; e < weight.num_experts; ++e) {
    const std::uint32_t begin = args.expert_offsets.empty() ? 0 : args.expert_offsets[e];
    const std::uint32_t end = args.expert_offsets.empty() ? args.num_rows : args.expert_offsets[e + 1];
    const std::uint32_t num_units = (end - begin + kUnitTokens - 1) / kUnitTokens;
    for (std::uint32_t i = 0; i < num_units; ++i) {
      // Equal shares, in twelves: whole tiles of every instruction set.
      const std::uint32_t share = ((end - begin + num_units - 1) / num_units + 11) / 12 * 12;
      const std::uint32_t from = std::min(begin + i * share, end);
      units[count++] = {e, from, std::min(from + share, end)};
    }
  }
  return units.first(count);
}

// A unit's x stays in the second-level cache while all rows of the weight pass by.
void run_piece(const Job& job, std::size_t piece_idx, float* scratch) {
  const LinearWeight& weight = job.weight;
  const Unit& unit = job.units[piece_idx / job.blocks_per_unit];
  if (unit.begin == unit.end) return;
  const std::uint64_t n = piece_idx % job.blocks_per_unit * kPieceRows;

  Piece piece;
  std::array<float, kPieceRows> scales{};
  piece.format = weight.format;
  piece.weights = weight.elements + (unit.expert_idx * weight.out_features + n) * job.row_bytes;
  piece.num_rows = std::min(kPieceRows, weight.out_features - n);
  piece.in_features = weight.in_features;
  piece.x = job.x + unit.begin * job.x_stride;
  piece.x_stride = job.x_stride;
  piece.num_tokens = unit.end - unit.begin;
  piece.multipliers = job.multipliers == nullptr ? nullptr : job.multipliers + unit.begin;
  scales_of_rows(weight, unit.expert_idx, n, piece.num_rows, scales.data());
  piece.scales = scales.data();
  piece.bias = weight.bias.empty() ? nullptr : weight.bias.data() + n;
  piece.y = job.args.y + unit.begin * weight.out_features + n;
  piece.y_stride = weight.out_features;
  piece.round_to_bf16 = job.args.round_to_bf16;
  piece.scratch = scratch;
  job.code.run_piece(piece);
}

std::uint32_t expert_of_row(const LinearArgs& args, std::size_t row) {
  if (args.expert_offsets.empty()) return 0;
  const auto after = std::upper_bound(args.expert_offsets.begin(), args.expert_offsets.end(), row);
  return static_cast<std::uint32_t>(after - args.expert_offsets.begin() - 1);
}

// x rounded, with zeros up to x_stride.
void round_input(const Job& job, Activation activation, float* x, float* multipliers, WorkerPool& pool) {
  pool.run(job.args.num_rows, [&](std::size_t t, std::size_t) {
    float* const out = x + t * job.x_stride;
    multipliers[t] = job.code.round_row(job.weight, activation, expert_of_row(job.args, t),
                                        job.args.x + t * job.weight.in_features, out);
    std::fill(out + job.weight.in_features, out + job.x_stride, 0.0F);
  });
}

std::string refuse(const LinearProblem& problem, WeightFormat weight, bool fp8_input) {
  if (problem.weight != weight) return fmt::format("weights are {}", weight_format_name(problem.weight));
  const bool is_fp8 = problem.activation == Activation::kFp8Static || problem.activation == Activation::kFp8Dynamic;
  if (fp8_input ? !is_fp8 : problem.activation != Activation::k16Bit) {
    return fmt::format("activations are {}", activation_name(problem.activation));
  }
  return {};
}

}  // namespace

void run(const Code& code, const LinearWeight& weight, Activation activation, const LinearArgs& args,
         Workspace& workspace, WorkerPool& pool) {
  if (args.num_rows == 0) return;
  const Workspace::Mark mark(workspace);
  const std::span<const Unit> units =
      make_units(weight, args, workspace.take<Unit>(max_units(weight.num_experts, args.num_rows)));
  Job job{code,
          weight,
          args,
          units,
          args.x,
          padded(weight.in_features),
          nullptr,
          weight.in_features * bits_per_weight(weight.format) / 8,
          (weight.out_features + kPieceRows - 1) / kPieceRows};
  if (rounds_input(weight, activation) || job.x_stride != weight.in_features) {
    float* const x = workspace.take<float>(args.num_rows * job.x_stride).data();
    float* const multipliers = workspace.take<float>(args.num_rows).data();
    round_input(job, activation, x, multipliers, pool);
    job.x = x;
    job.multipliers = multipliers;
  }
  const std::size_t worker_floats = scratch_floats(std::min(args.num_rows, kUnitTokens));
  float* const scratch = workspace.take<float>(worker_floats * pool.num_workers()).data();
  pool.run(units.size() * job.blocks_per_unit, [&](std::size_t piece_idx, std::size_t worker_idx) {
    run_piece(job, piece_idx, scratch + worker_idx * worker_floats);
  });
}

std::size_t workspace_bytes(const LinearProblem& problem, std::uint32_t num_rows, std::size_t num_workers) {
  return Workspace::bytes_for<Unit>(max_units(problem.num_experts, num_rows)) +
         Workspace::bytes_for<float>(num_rows * padded(problem.in_features)) + Workspace::bytes_for<float>(num_rows) +
         Workspace::bytes_for<float>(scratch_floats(std::min(num_rows, kUnitTokens)) * num_workers);
}

std::string refuse_f32(const LinearProblem& problem) { return refuse(problem, WeightFormat::kF32, false); }
std::string refuse_f16(const LinearProblem& problem) { return refuse(problem, WeightFormat::kF16, false); }
std::string refuse_bf16(const LinearProblem& problem) { return refuse(problem, WeightFormat::kBF16, false); }
std::string refuse_fp8(const LinearProblem& problem) { return refuse(problem, WeightFormat::kFp8, false); }
std::string refuse_fp8_with_fp8(const LinearProblem& problem) { return refuse(problem, WeightFormat::kFp8, true); }

}  // namespace nvfp4::kernels::cpu_shared::plain
