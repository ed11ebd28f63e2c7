// Causal self-attention with grouped key-value heads over the paged cache.
//
//   q, k, v = x Wq, x Wk, x Wv;  q, k normed per head (Qwen3), rotated;  o = softmax(q k^T / sqrt(head_dim)) v Wo
//   query head j reads key-value head j / (heads / kv heads); with a window w, position p sees (p - w, p]
//
// Keys and values go through the cache first, in its type, so that a token reads the same numbers in whichever step
// it and its past were computed. The softmax runs online over cache blocks from the left.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "layers/kv_cache.h"
#include "layers/linear.h"
#include "layers/rms_norm.h"
#include "layers/rope.h"
#include "layers/step_batch.h"

namespace nvfp4::layers {

struct AttentionShape {
  std::uint32_t num_heads = 0;
  std::uint32_t num_kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t window = 0;  // 0: no limit
};

class Attention {
 public:
  Attention(AttentionShape shape, Linear q, Linear k, Linear v, Linear o, std::optional<RmsNorm> q_norm,
            std::optional<RmsNorm> k_norm)
      : shape_(shape),
        q_(std::move(q)),
        k_(std::move(k)),
        v_(std::move(v)),
        o_(std::move(o)),
        q_norm_(std::move(q_norm)),
        k_norm_(std::move(k_norm)) {}

  // x, y [num_tokens, hidden]; angles as Rope gives them for the batch.
  void run(std::span<const float> x, const StepBatch& batch, std::span<const float> angles, std::uint32_t layer_idx,
           KvCache& cache, std::span<float> y, const Context& context) const;
  [[nodiscard]] std::size_t workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const;

  template <class Visit>
  void visit_linears(Visit visit) const {
    for (const Linear* linear : {&q_, &k_, &v_, &o_}) visit(*linear);
  }

 private:
  void place(const StepBatch& batch, std::span<const float> angles, std::uint32_t layer_idx, std::span<float> q,
             std::span<float> k, std::span<const float> v, KvCache& cache, const Context& context) const;
  void attend(const StepBatch& batch, std::uint32_t layer_idx, const KvCache& cache, std::span<const float> q,
              std::span<float> out, const Context& context) const;
  // One tile of one key-value head by one worker; all chunks of all heads of a tile by all workers.
  void attend_alone(const kernels::AttentionTile& tile, std::span<float> memory, const Context& context) const;
  template <class TileOf>
  void attend_together(TileOf tile_of, const Context& context) const;
  [[nodiscard]] std::uint32_t group() const { return shape_.num_heads / shape_.num_kv_heads; }
  [[nodiscard]] std::uint32_t tile_tokens() const;
  [[nodiscard]] std::size_t part_floats() const;
  [[nodiscard]] std::size_t scratch_floats() const;
  [[nodiscard]] std::uint32_t chunks_at_once(std::size_t num_workers) const;

  AttentionShape shape_;
  Linear q_, k_, v_, o_;
  std::optional<RmsNorm> q_norm_, k_norm_;
};

}  // namespace nvfp4::layers
