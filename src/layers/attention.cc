#include "layers/attention.h"

#include <algorithm>
#include <cmath>

#include "layers/attention_tiles.h"
#include "layers/profile.h"

namespace nvfp4::layers {
namespace {

constexpr std::uint32_t kBlockTokens = KvCache::kBlockTokens;
constexpr std::uint32_t kTileRows = 32;  // so many rows of queries use keys and values while they are in a near cache
constexpr std::uint32_t kPiecesPerWorker = 2;

std::uint32_t num_chunks(std::uint32_t begin, std::uint32_t end) {
  return (end + kernels::kAttentionChunk - 1) / kernels::kAttentionChunk - begin / kernels::kAttentionChunk;
}

// Positions that some token of the tile sees.
struct Seen {
  explicit Seen(const kernels::AttentionTile& tile)
      : begin(tile.window != 0 && tile.first_position + 1 > tile.window ? tile.first_position + 1 - tile.window : 0),
        end(tile.first_position + tile.num_tokens),
        first_chunk(begin / kernels::kAttentionChunk * kernels::kAttentionChunk) {}
  std::uint32_t begin, end;
  std::uint32_t first_chunk;  // its first position
};

}  // namespace

void Attention::run(std::span<const float> x, const StepBatch& batch, std::span<const float> angles,
                    std::uint32_t layer_idx, KvCache& cache, std::span<float> y, const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const auto num_tokens = static_cast<std::uint32_t>(batch.tokens.size());
  const std::span<float> q = context.workspace.take<float>(num_tokens * q_.out_features());
  const std::span<float> k = context.workspace.take<float>(num_tokens * k_.out_features());
  const std::span<float> v = context.workspace.take<float>(num_tokens * v_.out_features());
  {
    const ProfileSpan span(context.profile, Stage::kQkvLinear);
    q_.run(x, num_tokens, q, context);
    k_.run(x, num_tokens, k, context);
    v_.run(x, num_tokens, v, context);
  }
  place(batch, angles, layer_idx, q, k, v, cache, context);
  const std::span<float> out = context.workspace.take<float>(num_tokens * q_.out_features());
  attend(batch, layer_idx, cache, q, out, context);
  const ProfileSpan span(context.profile, Stage::kOutLinear);
  o_.run(out, num_tokens, y, context);
}

// Norms and rotates queries and keys; writes keys and values into the cache. A worker has a cache block to itself.
void Attention::place(const StepBatch& batch, std::span<const float> angles, std::uint32_t layer_idx,
                      std::span<float> q, std::span<float> k, std::span<const float> v, KvCache& cache,
                      const Context& context) const {
  const ProfileSpan span(context.profile, Stage::kRopeAndCache);
  const Workspace::Mark mark(context.workspace);
  const std::uint32_t head_dim = shape_.head_dim;
  const std::span<const TokenTile> tiles = tiles_of(batch, kBlockTokens, context.workspace);
  context.pool.run(tiles.size(), [&](std::size_t tile_idx, std::size_t) {
    const TokenTile& tile = tiles[tile_idx];
    for (std::uint32_t i = 0; i < tile.num_tokens; ++i) {
      const std::size_t t = tile.first_token + i;
      const float* const cosines = angles.data() + t * head_dim;
      const auto prepare_heads = [&](float* heads, std::uint32_t count, const std::optional<RmsNorm>& norm) {
        if (norm) norm->apply(heads, heads, count, context);
        rotate_heads(heads, count, head_dim, cosines, cosines + head_dim / 2, context);
      };
      float* const keys = k.data() + t * k_.out_features();
      prepare_heads(q.data() + t * q_.out_features(), shape_.num_heads, q_norm_);
      prepare_heads(keys, shape_.num_kv_heads, k_norm_);
      const std::uint32_t position = tile.first_position + i;
      cache.write(layer_idx, tile.sequence->blocks[position / kBlockTokens], position % kBlockTokens, keys,
                  v.data() + t * v_.out_features(), context.rows);
    }
  });
}

void Attention::attend(const StepBatch& batch, std::uint32_t layer_idx, const KvCache& cache, std::span<const float> q,
                       std::span<float> out, const Context& context) const {
  const ProfileSpan span(context.profile, Stage::kAttention);
  const Workspace::Mark mark(context.workspace);
  const std::span<const TokenTile> tiles = tiles_of(batch, tile_tokens(), context.workspace);
  const auto tile_of = [&](const TokenTile& tokens, std::uint32_t kv_head) {
    const KvCache::Head head = cache.head(layer_idx, kv_head);
    kernels::AttentionTile tile;
    tile.element = cache.type();
    tile.head_dim = shape_.head_dim;
    tile.group = group();
    tile.num_tokens = tokens.num_tokens;
    tile.first_position = tokens.first_position;
    tile.window = shape_.window;
    tile.keys = head.keys;
    tile.values = head.values;
    tile.block_stride_bytes = head.block_stride_bytes;
    tile.blocks = tokens.sequence->blocks.data();
    tile.key_scale = head.key_scale;
    tile.value_scale = head.value_scale;
    tile.score_scale = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
    tile.token_stride = q_.out_features();
    const std::size_t first = tokens.first_token * tile.token_stride + std::size_t{kv_head} * group() * shape_.head_dim;
    tile.q = q.data() + first;
    tile.out = out.data() + first;
    return tile;
  };
  // Too few pieces for the workers: they share the chunks of each tile.
  const std::size_t num_pieces = tiles.size() * shape_.num_kv_heads;
  if (context.pool.num_workers() > 1 && num_pieces < kPiecesPerWorker * context.pool.num_workers()) {
    for (const TokenTile& tokens : tiles) {
      attend_together([&](std::uint32_t kv_head) { return tile_of(tokens, kv_head); }, context);
    }
    return;
  }
  const std::size_t num_floats = 2 * part_floats() + scratch_floats();
  const std::span<float> memory = context.workspace.take<float>(num_floats * context.pool.num_workers());
  context.pool.run(num_pieces, [&](std::size_t piece_idx, std::size_t worker_idx) {
    const TokenTile& tokens = tiles[piece_idx / shape_.num_kv_heads];
    attend_alone(tile_of(tokens, static_cast<std::uint32_t>(piece_idx % shape_.num_kv_heads)),
                 memory.subspan(worker_idx * num_floats, num_floats), context);
  });
}

void Attention::attend_alone(const kernels::AttentionTile& tile, std::span<float> memory,
                             const Context& context) const {
  float* const part = memory.data();
  float* const next = part + part_floats();
  float* const scratch = next + part_floats();
  const Seen seen(tile);
  context.rows.attend(tile, seen.first_chunk, part, scratch);
  for (std::uint32_t at = seen.first_chunk + kernels::kAttentionChunk; at < seen.end; at += kernels::kAttentionChunk) {
    context.rows.attend(tile, at, next, scratch);
    context.rows.merge(tile, at, next, part);
  }
  context.rows.finish(tile, part, context.rounding());
}

template <class TileOf>
void Attention::attend_together(TileOf tile_of, const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const std::uint32_t num_heads = shape_.num_kv_heads;
  const std::uint32_t at_once = chunks_at_once(context.pool.num_workers());
  const std::span<float> scratch = context.workspace.take<float>(scratch_floats() * context.pool.num_workers());
  const std::span<float> sums = context.workspace.take<float>(part_floats() * num_heads);
  const std::span<float> parts = context.workspace.take<float>(part_floats() * num_heads * at_once);
  const Seen seen(tile_of(0));
  const std::uint32_t count = num_chunks(seen.begin, seen.end);
  const auto part_of = [&](std::size_t head, std::size_t i) {
    return parts.data() + (head * at_once + i) * part_floats();
  };
  for (std::uint32_t first = 0; first < count; first += at_once) {
    const std::uint32_t num_parts = std::min(at_once, count - first);
    const auto begin_of = [&](std::size_t i) {
      return seen.first_chunk + (first + static_cast<std::uint32_t>(i)) * kernels::kAttentionChunk;
    };
    context.pool.run(std::size_t{num_heads} * num_parts, [&](std::size_t piece_idx, std::size_t worker_idx) {
      const std::size_t head = piece_idx / num_parts;
      const std::size_t i = piece_idx % num_parts;
      context.rows.attend(tile_of(static_cast<std::uint32_t>(head)), begin_of(i), part_of(head, i),
                          scratch.data() + worker_idx * scratch_floats());
    });
    for (std::uint32_t head = 0; head < num_heads; ++head) {
      const kernels::AttentionTile tile = tile_of(head);
      float* const sum = sums.data() + head * part_floats();
      for (std::size_t i = 0; i < num_parts; ++i) context.rows.merge(tile, begin_of(i), part_of(head, i), sum);
      if (first + num_parts == count) context.rows.finish(tile, sum, context.rounding());
    }
  }
}

std::uint32_t Attention::tile_tokens() const { return std::max(1U, kTileRows / group()); }

// Multiples of 16, so that all parts begin at a cache line.
std::size_t Attention::part_floats() const {
  return kernels::attention_part_floats(std::size_t{tile_tokens()} * group(), shape_.head_dim);
}

std::size_t Attention::scratch_floats() const {
  return (kernels::attention_scratch_floats(std::size_t{tile_tokens()} * group(), shape_.head_dim) + 15) / 16 * 16;
}

std::uint32_t Attention::chunks_at_once(std::size_t num_workers) const {
  return static_cast<std::uint32_t>((kPiecesPerWorker * num_workers + shape_.num_kv_heads - 1) / shape_.num_kv_heads);
}

std::size_t Attention::workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const {
  const std::size_t values = Workspace::bytes_for<float>(num_tokens * q_.out_features()) * 2 +
                             Workspace::bytes_for<float>(num_tokens * k_.out_features()) * 2;
  const std::size_t alone = Workspace::bytes_for<float>((2 * part_floats() + scratch_floats()) * num_workers);
  const std::size_t heads = shape_.num_kv_heads;
  const std::size_t together = Workspace::bytes_for<float>(scratch_floats() * num_workers) +
                               Workspace::bytes_for<float>(part_floats() * heads) +
                               Workspace::bytes_for<float>(part_floats() * heads * chunks_at_once(num_workers));
  const std::size_t attending = Workspace::bytes_for<TokenTile>(num_tokens) + std::max(alone, together);
  std::size_t linear = 0;
  visit_linears([&](const Linear& l) { linear = std::max(linear, l.workspace_bytes(num_tokens, num_workers)); });
  return values + std::max(attending, linear);
}

}  // namespace nvfp4::layers
