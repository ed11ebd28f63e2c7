// Everything of a step that is not a linear layer, on rows of float32. Counts may be any number from 0 on; y may be x.
// round() is that of `rounding`. The result for an element depends on its row alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu_features.h"

namespace nvfp4::kernels {

// What happens to a value before it is stored: nothing, or rounding to BF16 (nearest even).
enum class Rounding : std::uint8_t { kNone, kBF16 };

enum class GateFunction : std::uint8_t {
  kSilu,      // a / (1 + exp(-a))
  kGeluTanh,  // a / (1 + exp(-2 u)), u = sqrt(2 / pi) (a + 0.044715 a^3): gelu's tanh form, tanh written as exp
};

// How the key-value cache holds numbers.
enum class KvElement : std::uint8_t { kF32, kBF16, kFp8 };
inline constexpr std::uint32_t kKvBlockTokens = 16;
// Keys and values are read in steps of so many positions, and steps belong to chunks; both begin at multiples of their
// size. A chunk is the piece of a context that workers may share out.
inline constexpr std::uint32_t kAttentionStep = 64;
inline constexpr std::uint32_t kAttentionChunk = 512;

// Consecutive tokens of one sequence and the query heads that share one key-value head: row = token * group + head.
//   scores[row, p] = (q[row] . k[p]) * score_scale     token i sees p in (i's position - window, i's position]
//   out[row]       = round(sum_p softmax(scores)[p] * v[p])
// A block's keys lie as [ceil(head_dim / 2), slot, 2] of dimensions (kF32: [dimension, slot]), values [slot, head_dim].
struct AttentionTile {
  KvElement element = KvElement::kBF16;
  std::uint32_t head_dim = 0;
  std::uint32_t group = 0;
  std::uint32_t num_tokens = 0;
  std::uint32_t first_position = 0;
  std::uint32_t window = 0;         // 0: no limit
  const std::byte* keys = nullptr;  // of block 0 of the cache; block b lies b * block_stride_bytes behind it
  const std::byte* values = nullptr;
  std::size_t block_stride_bytes = 0;
  const std::uint32_t* blocks = nullptr;  // blocks[p / 16] holds position p
  float key_scale = 1.0F;                 // kFp8: k = code * key_scale
  float value_scale = 1.0F;
  float score_scale = 1.0F;
  const float* q = nullptr;  // [num_tokens, group, head_dim], tokens token_stride floats apart
  float* out = nullptr;      // the same
  std::size_t token_stride = 0;
};

// What a row knows after some chunks: its largest score, sums of exp(score - largest), and the values weighted so.
inline constexpr std::size_t attention_part_floats(std::size_t num_rows, std::size_t head_dim) {
  return num_rows * (32 + (head_dim + 15) / 16 * 16);
}
// Scratch of one call of attend.
inline constexpr std::size_t attention_scratch_floats(std::size_t num_rows, std::size_t head_dim) {
  return num_rows * kAttentionStep + 2 * kKvBlockTokens * head_dim + 32;
}

struct RowKernels {
  InstructionSet needs = InstructionSet::kPortable;

  // values = round(values) to BF16.
  void (*round_to_bf16)(float* values, std::size_t count);
  // sum = round(sum + x): the residual.
  void (*add)(const float* x, float* sum, std::size_t count, Rounding rounding);
  // sum += weight * row, product and sum rounded to float32 each; the weighted sum of experts, in the caller's order.
  void (*accumulate)(float weight, const float* row, float* sum, std::size_t count);
  // y = round(round(f(gate)) * up).
  void (*gated)(GateFunction f, const float* gate, const float* up, float* y, std::size_t count, Rounding rounding);
  // y = round(max(x, 0)^2); NaN stays NaN.
  void (*relu2)(const float* x, float* y, std::size_t count, Rounding rounding);
  // y = round(round(x / sqrt(mean(x^2) + epsilon)) * weight) for each row of x [num_rows, count]; the mean in float64.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, float* y, std::size_t num_rows,
                   std::size_t count, Rounding rounding);
  // Each head [2 * half]: a = head[i], b = head[i + half] become round(a cos - b sin), round(b cos + a sin), products
  // and sums rounded to float32 each. cosines, sines [half].
  void (*rotate)(float* heads, const float* cosines, const float* sines, std::size_t num_heads, std::size_t half,
                 Rounding rounding);

  // out[i] = element of values[i]: BF16 to nearest even; FP8 of values[i] / scale, saturating.
  void (*encode)(KvElement element, const float* values, float scale, void* out, std::size_t count);
  // Attention over the positions of one chunk: begin is a multiple of kAttentionChunk, the end is the chunk's or the
  // last token's. Every row of tokens that see any of them gets its part; other rows stay as they are.
  // Scores of a step come first, then exp and the sum over its values, online from step to step.
  void (*attend)(const AttentionTile& tile, std::uint32_t begin, float* part, float* scratch);
  // Takes the part of the chunk at begin behind those before it: rows that see nothing earlier copy it.
  void (*merge)(const AttentionTile& tile, std::uint32_t begin, const float* next, float* part);
  // out = round(values / sum) of each row.
  void (*finish)(const AttentionTile& tile, const float* part, Rounding rounding);
};

}  // namespace nvfp4::kernels
