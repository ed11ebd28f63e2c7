// Attention over vectors of 16 floats: lanes are keys while scores are made, and dimensions while values are summed.
// P is a FloatVector of cpu_avx2 or cpu_avx512; both give the same bits.
//
// A score is one chain of fused multiply-adds over the dimensions in order. Weights of a step are summed by the
// position modulo 16, values in the order of positions; where the largest score grows, both shrink first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/row_kernels.h"
#include "kernels/cpu_shared/vector_exp.h"

namespace nvfp4::kernels {

template <class P>
struct VectorAttention {
  using V = typename P::V;

  static void attend(const AttentionTile& tile, std::uint32_t begin, float* part, float* scratch) {
    switch (tile.element) {
      case KvElement::kF32:
        return attend_chunk<float>(tile, begin, part, scratch);
      case KvElement::kBF16:
        return attend_chunk<std::uint16_t>(tile, begin, part, scratch);
      case KvElement::kFp8:
        return attend_chunk<std::uint8_t>(tile, begin, part, scratch);
    }
  }

  static void merge(const AttentionTile& tile, std::uint32_t begin, const float* next, float* part) {
    const Range rows = rows_that_see(tile, begin, begin + kAttentionChunk);
    const std::size_t num_floats = row_floats(tile);
    for (std::uint32_t row = rows.begin; row < rows.end; ++row) {
      const float* const from = next + row * num_floats;
      float* const to = part + row * num_floats;
      if (seen_by(tile, row).begin >= begin) {
        for (std::size_t i = 0; i < num_floats; i += 16) P::store(to + i, P::load(from + i));
        continue;
      }
      const float largest = from[kLargest] > to[kLargest] ? from[kLargest] : to[kLargest];
      const V keep = VectorExp<P>::of_negative(P::all(to[kLargest] - largest));
      const V take = VectorExp<P>::of_negative(P::all(from[kLargest] - largest));
      for (std::size_t i = 0; i < num_floats; i += 16) {
        P::store(to + i, P::fma(P::load(from + i), take, P::mul(P::load(to + i), keep)));
      }
      P::store(to + kLargest, P::all(largest));
    }
  }

  static void finish(const AttentionTile& tile, const float* part, Rounding rounding) {
    const V factor = P::all(tile.element == KvElement::kFp8 ? tile.value_scale * kFp8Factor : 1.0F);
    const std::size_t head_dim = tile.head_dim;
    for (std::uint32_t row = 0; row < tile.num_tokens * tile.group; ++row) {
      const float* const values = part + row * row_floats(tile) + kValues;
      const V sum = P::all(P::sum(P::load(part + row * row_floats(tile))));
      float* const out = tile.out + offset_of(tile, row);
      const auto finished = [=](V v) {
        const V mean = P::div(P::mul(v, factor), sum);
        return rounding == Rounding::kBF16 ? P::round_to_bf16(mean) : mean;
      };
      std::size_t d = 0;
      for (; d + 32 <= head_dim; d += 32) {
        const V even = finished(P::load(values + d));
        const V odd = finished(P::load(values + d + 16));
        const bool paired = tile.element != KvElement::kF32;
        P::store(out + d, paired ? P::interleave_low(even, odd) : even);
        P::store(out + d + 16, paired ? P::interleave_high(even, odd) : odd);
      }
      for (; d < head_dim; d += 16) {
        P::store_first(out + d, finished(P::load(values + d)), head_dim - d < 16 ? head_dim - d : 16);
      }
    }
  }

 private:
  struct Range {
    std::uint32_t begin, end;
  };
  template <int kCount>
  struct Rows {
    static constexpr int kRows = kCount;
  };
  // A row of a part: 16 sums of weights, the largest score, values. Of narrow types each 32 values lie as 16 of even
  // dimensions and 16 of odd ones.
  static constexpr std::size_t kLargest = 16;
  static constexpr std::size_t kValues = 32;
  static constexpr float kFp8Factor = 256.0F;  // load() of E4M3 gives value / 256
  static constexpr std::uint32_t kStepBlocks = kAttentionStep / kKvBlockTokens;

  static std::size_t row_floats(const AttentionTile& tile) { return kValues + (tile.head_dim + 15) / 16 * 16; }
  static std::size_t offset_of(const AttentionTile& tile, std::uint32_t row) {
    return row / tile.group * tile.token_stride + row % tile.group * std::size_t{tile.head_dim};
  }
  // The positions that a row sees.
  static Range seen_by(const AttentionTile& tile, std::uint32_t row) {
    const std::uint32_t end = tile.first_position + row / tile.group + 1;
    return {tile.window != 0 && end > tile.window ? end - tile.window : 0, end};
  }
  // The rows that see one of the positions [begin, end). They are neighbours.
  static Range rows_that_see(const AttentionTile& tile, std::uint32_t begin, std::uint32_t end) {
    const std::uint32_t num_rows = tile.num_tokens * tile.group;
    Range rows{0, 0};
    while (rows.begin < num_rows && seen_by(tile, rows.begin).end <= begin) rows.begin += tile.group;
    rows.end = rows.begin;
    while (rows.end < num_rows && seen_by(tile, rows.end).begin < end) rows.end += tile.group;
    return rows;
  }
  // What a row sees of a step, relative to it; rows_that_see has the row.
  static Range seen_of_step(const AttentionTile& tile, std::uint32_t row, std::uint32_t step) {
    const Range seen = seen_by(tile, row);
    return {seen.begin > step ? seen.begin - step : 0,
            seen.end - step < kAttentionStep ? seen.end - step : kAttentionStep};
  }

  // Calls fn(Rows<n>, first) for runs of at most kMost rows.
  template <int kMost, class Fn>
  static void in_groups(Range rows, Fn fn) {
    for (std::uint32_t row = rows.begin; row < rows.end; row += kMost) {
      with_rows<kMost>(rows.end - row, [&](auto count) { fn(count, row); });
    }
  }
  template <int kMost, class Fn>
  static void with_rows(std::uint32_t count, Fn fn) {
    if constexpr (kMost == 1) {
      fn(Rows<1>{});
    } else if (count >= kMost) {
      fn(Rows<kMost>{});
    } else {
      with_rows<kMost - 1>(count, fn);
    }
  }

  template <class T>
  struct Step {
    const T* keys[kStepBlocks];
    const T* values[kStepBlocks];
    const T* next_keys[kStepBlocks];  // of the next step, else the same: to be fetched in time
  };

  template <class T>
  static void attend_chunk(const AttentionTile& tile, std::uint32_t begin, float* part, float* scores) {
    const std::size_t num_floats = row_floats(tile);
    const Range active = rows_that_see(tile, begin, begin + kAttentionChunk);
    for (std::uint32_t row = active.begin; row < active.end; ++row) {
      for (std::size_t i = 0; i < num_floats; i += 16) P::store(part + row * num_floats + i, P::zero());
      P::store(part + row * num_floats + kLargest, P::all_bits(0xff800000U));  // -infinity
    }
    const std::uint32_t last = tile.first_position + tile.num_tokens;
    const std::uint32_t end = last < begin + kAttentionChunk ? last : begin + kAttentionChunk;
    for (std::uint32_t step = begin; step < end; step += kAttentionStep) {
      const Range rows = rows_that_see(tile, step, step + kAttentionStep);
      if (rows.begin == rows.end) continue;
      // The first row sees farthest to the left, the last one farthest to the right.
      const Range seen{seen_of_step(tile, rows.begin, step).begin, seen_of_step(tile, rows.end - 1, step).end};
      const Step<T> at = step_at<T>(tile, step, seen, last);
      make_scores(tile, rows, seen, at, scores);
      for (std::uint32_t row = rows.begin; row < rows.end; ++row) {
        weigh(tile, seen_of_step(tile, row, step), scores + row * kAttentionStep, part + row * num_floats);
      }
      in_groups<P::kValueRows>(
          rows, [&](auto count, std::uint32_t row) { add_values(count, tile, row, step, at, scores, part); });
    }
  }

  template <class T>
  static Step<T> step_at(const AttentionTile& tile, std::uint32_t step, Range seen, std::uint32_t last) {
    Step<T> at = {};
    const std::uint32_t first_block = step / kKvBlockTokens;
    for (std::uint32_t b = seen.begin / kKvBlockTokens; b * kKvBlockTokens < seen.end; ++b) {
      const std::size_t offset = tile.blocks[first_block + b] * tile.block_stride_bytes;
      at.keys[b] = reinterpret_cast<const T*>(tile.keys + offset);
      at.values[b] = reinterpret_cast<const T*>(tile.values + offset);
      at.next_keys[b] = at.keys[b];
      if (step + kAttentionStep + b * kKvBlockTokens < last) {
        at.next_keys[b] = reinterpret_cast<const T*>(tile.keys + tile.blocks[first_block + kStepBlocks + b] *
                                                                     tile.block_stride_bytes);
      }
    }
    return at;
  }

  template <class T>
  static void make_scores(const AttentionTile& tile, Range rows, Range seen, const Step<T>& at, float* scores) {
    float scale = tile.score_scale;
    if (tile.element == KvElement::kFp8) scale *= tile.key_scale * kFp8Factor;
    const std::uint32_t end = (seen.end + kKvBlockTokens - 1) / kKvBlockTokens;
    for (std::uint32_t b = seen.begin / kKvBlockTokens; b < end;) {
      const bool whole = b + P::kScoreBlocks <= end;
      bool first = true;
      in_groups<P::kRows>(rows, [&](auto count, std::uint32_t row) {
        float* const out = scores + row * std::size_t{kAttentionStep} + b * kKvBlockTokens;
        const T* const* const ahead = (first ? at.values : at.keys) + b;
        first = false;
        if (whole) {
          score_blocks<decltype(count)::kRows, P::kScoreBlocks>(tile, row, at.keys + b, ahead, scale, out);
        } else {
          score_blocks<decltype(count)::kRows, 1>(tile, row, at.keys + b, ahead, scale, out);
        }
      });
      b += whole ? P::kScoreBlocks : 1;
    }
  }

  // scores[r * kAttentionStep + slot] = (q[row + r] . k[slot]) * scale for neighbouring blocks; values are fetched
  // ahead.
  template <int kCount, int kBlocks, class T>
  static void score_blocks(const AttentionTile& tile, std::uint32_t row, const T* const* keys, const T* const* ahead,
                           float scale, float* scores) {
    const float* q[kCount];
    for (int r = 0; r < kCount; ++r) q[r] = tile.q + offset_of(tile, row + static_cast<std::uint32_t>(r));
    V sums[kBlocks][kCount];
    for (int b = 0; b < kBlocks; ++b) {
      for (int r = 0; r < kCount; ++r) sums[b][r] = P::zero();
    }
    const std::size_t head_dim = tile.head_dim;
    std::size_t d = 0;
    for (; d + 2 <= head_dim; d += 2) {
      V even[kBlocks], odd[kBlocks];
      for (int b = 0; b < kBlocks; ++b) {
        P::prefetch(ahead[b] + d * kKvBlockTokens);
        const auto pair = P::load_pairs(keys[b] + d * kKvBlockTokens);
        even[b] = pair.even;
        odd[b] = pair.odd;
      }
      for (int r = 0; r < kCount; ++r) {
        const V x = P::all(q[r][d]);
        for (int b = 0; b < kBlocks; ++b) sums[b][r] = P::fma(x, even[b], sums[b][r]);
      }
      for (int r = 0; r < kCount; ++r) {
        const V x = P::all(q[r][d + 1]);
        for (int b = 0; b < kBlocks; ++b) sums[b][r] = P::fma(x, odd[b], sums[b][r]);
      }
    }
    for (int b = 0; b < kBlocks; ++b) {
      if (d < head_dim) {
        const V even = P::load_pairs(keys[b] + d * kKvBlockTokens).even;
        for (int r = 0; r < kCount; ++r) sums[b][r] = P::fma(P::all(q[r][d]), even, sums[b][r]);
      }
      for (std::size_t r = 0; r < kCount; ++r) {
        P::store(scores + r * kAttentionStep + b * kKvBlockTokens, P::mul(sums[b][r], P::all(scale)));
      }
    }
  }

  // Scores of one row become weights relative to its largest score so far, which its part follows.
  static void weigh(const AttentionTile& tile, Range seen, float* scores, float* part) {
    const std::uint32_t begin = seen.begin / 16 * 16;
    const std::uint32_t end = (seen.end + 15) / 16 * 16;
    const float kNone = -__builtin_inff();
    for (std::uint32_t j = begin; j < seen.begin; ++j) scores[j] = kNone;
    for (std::uint32_t j = seen.end; j < end; ++j) scores[j] = kNone;
    V largest_lanes = P::load(scores + begin);
    for (std::uint32_t j = begin + 16; j < end; j += 16) largest_lanes = P::max(largest_lanes, P::load(scores + j));
    const float largest = P::largest(largest_lanes);
    V sums = P::load(part);
    if (largest > part[kLargest]) {
      const V shrink = VectorExp<P>::of_negative(P::sub(P::load(part + kLargest), P::all(largest)));
      sums = P::mul(sums, shrink);
      for (std::size_t d = 0; d < tile.head_dim; d += 16) {
        P::store(part + kValues + d, P::mul(P::load(part + kValues + d), shrink));
      }
      P::store(part + kLargest, P::all(largest));
    }
    const V reference = P::load(part + kLargest);
    for (std::uint32_t j = begin; j < end; j += 16) {
      const V weights = VectorExp<P>::of_negative(P::sub(P::load(scores + j), reference));
      P::store(scores + j, weights);
      sums = P::add(sums, weights);
    }
    P::store(part, sums);
  }

  // Adds the values of a step to rows [row, row + count). What only some of the rows see is added row by row: behind a
  // mask may lie anything, NaN too.
  template <class Count, class T>
  static void add_values(Count, const AttentionTile& tile, std::uint32_t row, std::uint32_t step, const Step<T>& at,
                         const float* weights, float* part) {
    constexpr auto kCount = static_cast<std::uint32_t>(Count::kRows);
    const std::size_t num_floats = row_floats(tile);
    const Range first = seen_of_step(tile, row, step);
    const Range last = seen_of_step(tile, row + kCount - 1, step);
    const Range common{last.begin, first.end};
    const Range rows{row, row + kCount};
    if (common.begin >= common.end) return each_row(tile, rows, step, {0, kAttentionStep}, at, weights, part);
    each_row(tile, rows, step, {0, common.begin}, at, weights, part);
    weighted_sum<Count::kRows>(weights + row * kAttentionStep, at, common, tile.head_dim,
                               part + row * num_floats + kValues, num_floats);
    each_row(tile, rows, step, {common.end, kAttentionStep}, at, weights, part);
  }

  // Values of those slots within limits that each row sees.
  template <class T>
  static void each_row(const AttentionTile& tile, Range rows, std::uint32_t step, Range limits, const Step<T>& at,
                       const float* weights, float* part) {
    const std::size_t num_floats = row_floats(tile);
    for (std::uint32_t row = rows.begin; row < rows.end; ++row) {
      Range seen = seen_of_step(tile, row, step);
      if (seen.begin < limits.begin) seen.begin = limits.begin;
      if (seen.end > limits.end) seen.end = limits.end;
      if (seen.begin >= seen.end) continue;
      weighted_sum<1>(weights + row * kAttentionStep, at, seen, tile.head_dim, part + row * num_floats + kValues,
                      num_floats);
    }
  }

  // out[r * out_stride + d] += sum over slots of weights[r * kAttentionStep + slot] * v[slot, d].
  template <int kCount, class T>
  static void weighted_sum(const float* weights, const Step<T>& at, Range slots, std::size_t head_dim, float* out,
                           std::size_t out_stride) {
    std::size_t d = 0;
    for (; d + 32 <= head_dim; d += 32) {
      V even[kCount], odd[kCount];
      for (int r = 0; r < kCount; ++r) {
        even[r] = P::load(out + r * out_stride + d);
        odd[r] = P::load(out + r * out_stride + d + 16);
      }
      for_each_slot(slots, [&](std::size_t slot, std::size_t b, std::size_t slot_of_block) {
        P::prefetch(at.next_keys[b] + d * kKvBlockTokens + slot_of_block * 32);  // line by line in the end
        const auto pair = P::load_pairs(at.values[b] + slot_of_block * head_dim + d);
        const float* const weight_of = weights + slot;
        for (std::size_t r = 0; r < kCount; ++r) {
          const V weight = P::all(weight_of[r * kAttentionStep]);
          even[r] = P::fma(weight, pair.even, even[r]);
          odd[r] = P::fma(weight, pair.odd, odd[r]);
        }
      });
      for (int r = 0; r < kCount; ++r) {
        P::store(out + r * out_stride + d, even[r]);
        P::store(out + r * out_stride + d + 16, odd[r]);
      }
    }
    for (; d < head_dim; d += 16) {
      const std::size_t n = head_dim - d < 16 ? head_dim - d : 16;
      V sums[kCount];
      for (int r = 0; r < kCount; ++r) sums[r] = P::load(out + r * out_stride + d);
      for_each_slot(slots, [&](std::size_t slot, std::size_t b, std::size_t slot_of_block) {
        const T* const from = at.values[b] + slot_of_block * head_dim + d;
        const V v = n == 16 ? P::load(from) : P::load_first(from, n);
        for (std::size_t r = 0; r < kCount; ++r) {
          sums[r] = P::fma(P::all(weights[r * kAttentionStep + slot]), v, sums[r]);
        }
      });
      for (int r = 0; r < kCount; ++r) P::store(out + r * out_stride + d, sums[r]);
    }
  }

  template <class Fn>
  static void for_each_slot(Range slots, Fn fn) {
    for (std::size_t slot = slots.begin; slot < slots.end;) {
      const std::size_t b = slot / kKvBlockTokens;
      const std::size_t begin = b * kKvBlockTokens;
      const std::size_t end = begin + kKvBlockTokens < slots.end ? begin + kKvBlockTokens : slots.end;
      for (; slot < end; ++slot) fn(slot, b, slot - begin);
    }
  }
};

}  // namespace nvfp4::kernels
