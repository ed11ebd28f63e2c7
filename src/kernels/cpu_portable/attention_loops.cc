#include "kernels/cpu_portable/attention_loops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/bf16.h"
#include "formats/e4m3.h"

namespace nvfp4::kernels::cpu_portable {
namespace {

constexpr std::uint32_t kSlots = kKvBlockTokens;
constexpr float kNone = -std::numeric_limits<float>::infinity();

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

// One head's keys and values of a block, [slot, head_dim] each.
template <class Code, class Decode>
void read_block(const AttentionTile& tile, std::uint32_t block, std::uint32_t num_slots, float* keys, float* values,
                Decode decode) {
  const std::uint32_t head_dim = tile.head_dim;
  const std::size_t offset = tile.blocks[block] * tile.block_stride_bytes;
  const auto* const k = reinterpret_cast<const Code*>(tile.keys + offset);
  const auto* const v = reinterpret_cast<const Code*>(tile.values + offset);
  for (std::uint32_t d = 0; d < head_dim; ++d) {
    // In pairs of dimensions, except for float32.
    const bool paired = tile.element != KvElement::kF32;
    const Code* const from = paired ? k + d / 2 * 2 * kSlots + d % 2 : k + d * kSlots;
    for (std::uint32_t slot = 0; slot < num_slots; ++slot) {
      keys[slot * head_dim + d] = decode(from[slot * (paired ? 2 : 1)], tile.key_scale);
    }
  }
  for (std::uint32_t i = 0; i < num_slots * head_dim; ++i) values[i] = decode(v[i], tile.value_scale);
}

void read_block(const AttentionTile& tile, std::uint32_t block, std::uint32_t num_slots, float* keys, float* values) {
  switch (tile.element) {
    case KvElement::kF32:
      return read_block<float>(tile, block, num_slots, keys, values, [](float value, float) { return value; });
    case KvElement::kBF16:
      return read_block<std::uint16_t>(tile, block, num_slots, keys, values,
                                       [](std::uint16_t code, float) { return decode_bf16(code); });
    case KvElement::kFp8:
      return read_block<std::uint8_t>(tile, block, num_slots, keys, values,
                                      [](std::uint8_t code, float scale) { return decode_e4m3(code) * scale; });
  }
}

struct Range {
  std::uint32_t begin, end;
};

// The positions that token i of the tile sees.
Range seen_by(const AttentionTile& tile, std::uint32_t i) {
  const std::uint32_t end = tile.first_position + i + 1;
  return {tile.window != 0 && end > tile.window ? end - tile.window : 0, end};
}

// A row of a part: its largest score so far, the sum of weights relative to that, and from kValues on the values.
constexpr std::size_t kSum = 1;
constexpr std::size_t kValues = 32;

std::size_t row_floats(const AttentionTile& tile) { return attention_part_floats(1, tile.head_dim); }

void shrink(float* row, float largest, std::uint32_t head_dim) {
  const float factor = std::exp(row[0] - largest);
  row[0] = largest;
  row[kSum] *= factor;
  for (std::uint32_t d = 0; d < head_dim; ++d) row[kValues + d] *= factor;
}

// Adds num_keys scores with their values [num_keys, head_dim].
void add_keys(const float* scores, const float* values, std::uint32_t num_keys, std::uint32_t head_dim, float* row) {
  const float largest = *std::max_element(scores, scores + num_keys);
  if (largest > row[0]) shrink(row, largest, head_dim);
  for (std::uint32_t j = 0; j < num_keys; ++j) {
    const float weight = std::exp(scores[j] - row[0]);
    row[kSum] += weight;
    for (std::uint32_t d = 0; d < head_dim; ++d) row[kValues + d] += weight * values[j * head_dim + d];
  }
}

}  // namespace

void attend(const AttentionTile& tile, std::uint32_t begin, float* part, float* scratch) {
  const std::uint32_t head_dim = tile.head_dim;
  const std::uint32_t end = std::min(begin + kAttentionChunk, tile.first_position + tile.num_tokens);
  float* const keys = scratch;
  float* const values = scratch + std::size_t{kSlots} * head_dim;
  for (std::uint32_t block = begin / kSlots; block * kSlots < end; ++block) {
    const std::uint32_t at = block * kSlots;
    const std::uint32_t num_slots = std::min(kSlots, end - at);
    if (seen_by(tile, 0).begin >= at + num_slots) continue;
    read_block(tile, block, num_slots, keys, values);
    for (std::uint32_t i = 0; i < tile.num_tokens; ++i) {
      const Range seen = seen_by(tile, i);
      if (seen.begin >= at + num_slots || seen.end <= at) continue;
      const std::uint32_t first = seen.begin > at ? seen.begin - at : 0;
      const std::uint32_t num_seen = std::min(num_slots, seen.end - at);
      for (std::uint32_t head = 0; head < tile.group; ++head) {
        float* const row = part + (std::size_t{i} * tile.group + head) * row_floats(tile);
        if (at <= std::max(begin, seen.begin)) {  // the first block of the chunk for this token
          row[0] = kNone;
          row[kSum] = 0.0F;
          std::fill_n(row + kValues, head_dim, 0.0F);
        }
        const float* const q = tile.q + i * tile.token_stride + std::size_t{head} * head_dim;
        float scores[kSlots];
        for (std::uint32_t j = first; j < num_seen; ++j) {
          scores[j] = dot(q, keys + j * head_dim, head_dim) * tile.score_scale;
        }
        add_keys(scores + first, values + first * head_dim, num_seen - first, head_dim, row);
      }
    }
  }
}

void merge(const AttentionTile& tile, std::uint32_t begin, const float* next, float* part) {
  for (std::uint32_t row_idx = 0; row_idx < tile.num_tokens * tile.group; ++row_idx) {
    const Range seen = seen_by(tile, row_idx / tile.group);
    if (seen.begin >= begin + kAttentionChunk || seen.end <= begin) continue;
    const float* const from = next + row_idx * row_floats(tile);
    float* const to = part + row_idx * row_floats(tile);
    if (seen.begin >= begin) {
      std::copy_n(from, row_floats(tile), to);
      continue;
    }
    if (from[0] > to[0]) shrink(to, from[0], tile.head_dim);
    const float factor = std::exp(from[0] - to[0]);
    to[kSum] += factor * from[kSum];
    for (std::uint32_t d = 0; d < tile.head_dim; ++d) to[kValues + d] += factor * from[kValues + d];
  }
}

void finish(const AttentionTile& tile, const float* part, Rounding rounding) {
  for (std::uint32_t row_idx = 0; row_idx < tile.num_tokens * tile.group; ++row_idx) {
    const float* const row = part + row_idx * row_floats(tile);
    float* const out =
        tile.out + row_idx / tile.group * tile.token_stride + std::size_t{row_idx % tile.group} * tile.head_dim;
    for (std::uint32_t d = 0; d < tile.head_dim; ++d) {
      const float mean = row[kValues + d] / row[kSum];
      out[d] = rounding == Rounding::kBF16 ? round_to_bf16(mean) : mean;
    }
  }
}

}  // namespace nvfp4::kernels::cpu_portable
