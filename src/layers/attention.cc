#include "layers/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nvfp4::layers {
namespace {

constexpr std::uint32_t kBlockTokens = KvCache::kBlockTokens;

float dot(const float* a, const float* b, std::uint32_t count) {
  constexpr std::uint32_t kLanes = 8;
  float lanes[kLanes] = {};
  std::uint32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::uint32_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  }
  for (; i < count; ++i) lanes[i % kLanes] += a[i] * b[i];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// Softmax over keys as they come: the sum so far is relative to the largest score so far.
struct OnlineSoftmax {
  float largest = -std::numeric_limits<float>::infinity();
  float sum = 0.0F;

  // Adds num_keys scores with their values [num_keys, head_dim] to out [head_dim].
  void add(const float* scores, const float* values, std::uint32_t num_keys, std::uint32_t head_dim, float* out) {
    const float block_largest = *std::max_element(scores, scores + num_keys);
    if (block_largest > largest) {
      const float shrink = std::exp(largest - block_largest);
      sum *= shrink;
      for (std::uint32_t d = 0; d < head_dim; ++d) out[d] *= shrink;
      largest = block_largest;
    }
    for (std::uint32_t j = 0; j < num_keys; ++j) {
      const float weight = std::exp(scores[j] - largest);
      sum += weight;
      for (std::uint32_t d = 0; d < head_dim; ++d) out[d] += weight * values[j * head_dim + d];
    }
  }
};

// Calls fn(sequence, token_idx, position) for each token of the batch.
template <class Fn>
void for_each_token(const StepBatch& batch, Fn fn) {
  for (const SequenceSlice& sequence : batch.sequences) {
    for (std::uint32_t i = 0; i < sequence.num_tokens; ++i) {
      fn(sequence, sequence.first_token + i, sequence.first_position + i);
    }
  }
}

struct TokenPlace {
  const SequenceSlice* sequence;
  std::uint32_t position;
};

std::span<const TokenPlace> token_places(const StepBatch& batch, Workspace& workspace) {
  const std::span<TokenPlace> places = workspace.take<TokenPlace>(batch.tokens.size());
  for_each_token(batch, [&](const SequenceSlice& sequence, std::uint32_t token_idx, std::uint32_t position) {
    places[token_idx] = {&sequence, position};
  });
  return places;
}

}  // namespace

void Attention::run(std::span<const float> x, const StepBatch& batch, const Rope& rope, std::uint32_t layer_idx,
                    KvCache& cache, std::span<float> y, const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const auto num_tokens = static_cast<std::uint32_t>(batch.tokens.size());
  const std::span<float> q = context.workspace.take<float>(num_tokens * q_.out_features());
  const std::span<float> k = context.workspace.take<float>(num_tokens * k_.out_features());
  const std::span<float> v = context.workspace.take<float>(num_tokens * v_.out_features());
  q_.run(x, num_tokens, q, context);
  k_.run(x, num_tokens, k, context);
  v_.run(x, num_tokens, v, context);
  place(batch, rope, layer_idx, q, k, v, cache, context);
  const std::span<float> out = context.workspace.take<float>(num_tokens * q_.out_features());
  attend(batch, layer_idx, cache, q, out, context);
  o_.run(out, num_tokens, y, context);
}

// Norms and rotates queries and keys; writes keys and values into the cache.
void Attention::place(const StepBatch& batch, const Rope& rope, std::uint32_t layer_idx, std::span<float> q,
                      std::span<float> k, std::span<const float> v, KvCache& cache, const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const std::uint32_t head_dim = shape_.head_dim;
  const std::span<const TokenPlace> places = token_places(batch, context.workspace);
  const std::span<float> angles = context.workspace.take<float>(std::size_t{head_dim} * context.pool.num_workers());
  context.pool.run(batch.tokens.size(), [&](std::size_t t, std::size_t worker_idx) {
    float* const cosines = angles.data() + worker_idx * head_dim;
    float* const sines = cosines + head_dim / 2;
    rope.angles(places[t].position, cosines, sines, context);
    const auto prepare_heads = [&](float* heads, std::uint32_t count, const std::optional<RmsNorm>& norm) {
      for (std::uint32_t h = 0; h < count; ++h) {
        if (norm) norm->apply(heads + h * head_dim, heads + h * head_dim, context);
        rope.rotate(heads + h * head_dim, cosines, sines, context);
      }
    };
    float* const keys = k.data() + t * k_.out_features();
    prepare_heads(q.data() + t * q_.out_features(), shape_.num_heads, q_norm_);
    prepare_heads(keys, shape_.num_kv_heads, k_norm_);
    const std::uint32_t block_idx = places[t].sequence->blocks[places[t].position / kBlockTokens];
    cache.write(layer_idx, block_idx, places[t].position % kBlockTokens, keys, v.data() + t * v_.out_features());
  });
}

void Attention::attend(const StepBatch& batch, std::uint32_t layer_idx, const KvCache& cache, std::span<const float> q,
                       std::span<float> out, const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const std::uint32_t head_dim = shape_.head_dim;
  const std::uint32_t group = shape_.num_heads / shape_.num_kv_heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const std::span<const TokenPlace> places = token_places(batch, context.workspace);
  const std::size_t block_floats = std::size_t{kBlockTokens} * head_dim;
  const std::span<float> scratch = context.workspace.take<float>(2 * block_floats * context.pool.num_workers());
  const std::span<OnlineSoftmax> softmaxes =
      context.workspace.take<OnlineSoftmax>(std::size_t{group} * context.pool.num_workers());

  context.pool.run(batch.tokens.size() * shape_.num_kv_heads, [&](std::size_t piece_idx, std::size_t worker_idx) {
    const std::size_t t = piece_idx / shape_.num_kv_heads;
    const auto kv_head = static_cast<std::uint32_t>(piece_idx % shape_.num_kv_heads);
    const std::uint32_t end = places[t].position + 1;
    const std::uint32_t begin = shape_.window != 0 && end > shape_.window ? end - shape_.window : 0;
    float* const keys = scratch.data() + worker_idx * 2 * block_floats;
    float* const values = keys + block_floats;
    OnlineSoftmax* const softmax = softmaxes.data() + worker_idx * group;
    std::fill_n(softmax, group, OnlineSoftmax{});
    const std::size_t first_head = t * shape_.num_heads + std::size_t{kv_head} * group;
    float* const o = out.data() + first_head * head_dim;
    std::fill_n(o, std::size_t{group} * head_dim, 0.0F);
    for (std::uint32_t block = begin / kBlockTokens; block * kBlockTokens < end; ++block) {
      const std::uint32_t num_slots = std::min(kBlockTokens, end - block * kBlockTokens);
      const std::uint32_t first = begin > block * kBlockTokens ? begin - block * kBlockTokens : 0;
      cache.read_keys(layer_idx, places[t].sequence->blocks[block], kv_head, num_slots, keys);
      cache.read_values(layer_idx, places[t].sequence->blocks[block], kv_head, num_slots, values);
      for (std::uint32_t g = 0; g < group; ++g) {
        float scores[kBlockTokens];
        for (std::uint32_t j = first; j < num_slots; ++j) {
          scores[j] = dot(q.data() + (first_head + g) * head_dim, keys + j * head_dim, head_dim) * scale;
        }
        softmax[g].add(scores + first, values + first * head_dim, num_slots - first, head_dim, o + g * head_dim);
      }
    }
    for (std::uint32_t g = 0; g < group; ++g) {
      for (std::uint32_t d = 0; d < head_dim; ++d)
        o[g * head_dim + d] = context.round(o[g * head_dim + d] / softmax[g].sum);
    }
  });
}

std::size_t Attention::workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const {
  const std::size_t values = Workspace::bytes_for<float>(num_tokens * q_.out_features()) * 2 +
                             Workspace::bytes_for<float>(num_tokens * k_.out_features()) * 2;
  const std::size_t scratch =
      Workspace::bytes_for<float>(2 * std::size_t{kBlockTokens} * shape_.head_dim * num_workers) +
      Workspace::bytes_for<OnlineSoftmax>(std::size_t{shape_.num_heads} * num_workers) +
      Workspace::bytes_for<TokenPlace>(num_tokens);
  std::size_t linear = 0;
  visit_linears([&](const Linear& l) { linear = std::max(linear, l.workspace_bytes(num_tokens, num_workers)); });
  return values + std::max(scratch, linear);
}

}  // namespace nvfp4::layers
