// What the linear kernels for weights without block scales share over instruction sets: which problems they take, how
// the work is split, and how x is brought into shape. The arithmetic is in plain_tiles.h.
//
// A piece is kPieceRows output rows for the tokens of one unit: up to kUnitTokens tokens of one expert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/contract/linear.h"

namespace nvfp4::kernels::cpu_shared::plain {

inline constexpr std::uint64_t kLanes = 16;        // partial sums of an output: k mod 16
inline constexpr std::uint64_t kPieceRows = 32;    // output rows of a piece
inline constexpr std::uint64_t kGroupRows = 4;     // of these, how many lie together in scratch
inline constexpr std::uint64_t kPanelDepth = 512;  // k that are decoded together
inline constexpr std::uint32_t kUnitTokens = 96;   // tokens whose x and sums fit in the second-level cache

// Plain pointers only: this goes to code that is compiled for other processors than the caller.
struct Piece {
  WeightFormat format = WeightFormat::kBF16;
  const std::byte* weights = nullptr;  // [num_rows, in_features]
  std::uint64_t num_rows = 0;          // 1 to kPieceRows
  std::uint64_t in_features = 0;
  const float* x = nullptr;  // [num_tokens, x_stride]: zeros from in_features to x_stride, a multiple of kLanes
  std::uint64_t x_stride = 0;
  std::uint32_t num_tokens = 0;        // 1 to kUnitTokens
  const float* multipliers = nullptr;  // [num_tokens]; null: 1
  const float* scales = nullptr;       // [kPieceRows]
  const float* bias = nullptr;         // [num_rows] or null
  float* y = nullptr;                  // [num_tokens, y_stride]
  std::uint64_t y_stride = 0;
  bool round_to_bf16 = false;
  float* scratch = nullptr;  // scratch_floats(num_tokens), aligned to 64 bytes
};

// The decoded panel [kPieceRows, kPanelDepth], and the lanes of every sum.
[[nodiscard]] constexpr std::size_t scratch_floats(std::uint32_t num_tokens) {
  return kPieceRows * kPanelDepth + kPieceRows * num_tokens * kLanes;
}

// What an instruction set contributes.
struct Code {
  void (*run_piece)(const Piece& piece);
  // As cpu_shared::round_row.
  float (*round_row)(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx, const float* x,
                     float* out);
};

void run(const Code& code, const LinearWeight& weight, Activation activation, const LinearArgs& args,
         Workspace& workspace, WorkerPool& pool);
[[nodiscard]] std::size_t workspace_bytes(const LinearProblem& problem, std::uint32_t num_rows,
                                          std::size_t num_workers);
[[nodiscard]] std::string refuse_f32(const LinearProblem& problem);
[[nodiscard]] std::string refuse_f16(const LinearProblem& problem);
[[nodiscard]] std::string refuse_bf16(const LinearProblem& problem);
[[nodiscard]] std::string refuse_fp8(const LinearProblem& problem);           // k16Bit
[[nodiscard]] std::string refuse_fp8_with_fp8(const LinearProblem& problem);  // kFp8Static, kFp8Dynamic

}  // namespace nvfp4::kernels::cpu_shared::plain
