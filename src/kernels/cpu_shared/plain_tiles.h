// y[t, n] = bias[n] + scale[n] * multiplier[t] * sum_k x[t, k] * W[n, k], for weights without block scales.
//
// Order of a sum: lane l of 16 adds k = l, l + 16, ... from the left, each product and addition one rounding (FMA);
// then lanes l and l + 8, neighbours, neighbours of these, and the two halves. Every shape of tile keeps to it, sums
// that leave the registers keep their lanes, and so all instruction sets have the same bits.
//
// Few tokens: rows are decoded in registers, as fast as they come from memory. Many: kPieceRows x kPanelDepth weights
// become a panel of float32, and tiles of kTileRows x kTileTokens multiply it at the rate of the FMA units.
//
// Isa: Reg, kWidth floats; kTileRows, kTileTokens; zero, load_{f32,f16,bf16}, store, fma; half_from_fp8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu_shared/plain_linear.h"

namespace nvfp4::kernels::cpu_shared::plain {

template <class Isa>
class Tiles {
 public:
  static void run_piece(const Piece& piece) {
    switch (piece.format) {
      case WeightFormat::kF32:
        return run_format<WeightFormat::kF32>(piece);
      case WeightFormat::kF16:
        return run_format<WeightFormat::kF16>(piece);
      case WeightFormat::kBF16:
        return run_format<WeightFormat::kBF16>(piece);
      case WeightFormat::kFp8:
        return run_format<WeightFormat::kFp8>(piece);
      case WeightFormat::kNvfp4:
        return;  // refused
    }
  }

 private:
  using Reg = typename Isa::Reg;
  using Rows = const std::byte* [kGroupRows];
  static constexpr std::uint64_t kWidth = Isa::kWidth;
  static constexpr std::uint32_t kTileTokens = Isa::kTileTokens;
  static constexpr std::uint64_t kGroupFloats = kGroupRows * kLanes;  // sums of a group of rows with one token
  static constexpr std::uint32_t kFewTokens = 12;                     // panels pay above
  // E4M3 as FP16 in registers is 2^-8 of its value, exactly.
  static constexpr float kFp8Factor = 256.0F;

  template <WeightFormat kFormat>
  static constexpr std::size_t kElementBytes = kFormat == WeightFormat::kF32   ? 4
                                               : kFormat == WeightFormat::kFp8 ? 1
                                                                               : 2;

  template <WeightFormat kFormat>
  static void run_format(const Piece& piece) {
    if (piece.num_tokens <= kFewTokens) {
      run_few<kFormat>(piece);
    } else {
      run_many<kFormat>(piece);
    }
  }

  template <WeightFormat kFormat>
  static Reg load(const std::byte* from) {
    if constexpr (kFormat == WeightFormat::kF32) return Isa::load_f32(reinterpret_cast<const float*>(from));
    if constexpr (kFormat == WeightFormat::kF16) return Isa::load_f16(from);
    if constexpr (kFormat == WeightFormat::kBF16) return Isa::load_bf16(from);
  }

  // What comes a group of rows later into the second-level cache, as one stream, and what comes soon into the first.
  // w: kRows of the rows of a group, all of which are read at `offset`.
  template <std::uint64_t kRows>
  static void prefetch(const std::byte* const (&w)[kRows], std::uint64_t offset, std::ptrdiff_t row_bytes) {
    constexpr std::uint64_t kLine = 64;
    constexpr std::uint64_t kSoon = 1024;
    if (offset % kLine != 0) return;
    const std::byte* const next = w[0] + kGroupRows * row_bytes + offset * kRows;
#pragma GCC unroll 16
    for (std::uint64_t r = 0; r < kRows; ++r) {
      __builtin_prefetch(next + r * kLine, 0, 2);
      __builtin_prefetch(w[r] + offset + kSoon, 0, 3);
    }
  }

  // Adds num_steps * kLanes products to sums [kTokens][kGroupRows][kLanes], of which it knows kRows rows.
  template <WeightFormat kFormat, std::uint64_t kRows, std::uint32_t kTokens>
  static void multiply(const Rows& rows, std::uint64_t first_row, const float* x, std::uint64_t x_stride,
                       std::uint64_t num_steps, bool starts, float* sums) {
    constexpr std::uint64_t kRegs = kLanes / kWidth;
    const std::byte* w[kRows];
    Reg acc[kTokens][kRows][kRegs];
    sums += first_row * kLanes;
    // Unrolled, so that acc is registers.
#pragma GCC unroll 16
    for (std::uint64_t r = 0; r < kRows; ++r) w[r] = rows[first_row + r];
#pragma GCC unroll 16
    for (std::uint32_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 16
      for (std::uint64_t i = 0; i < kRows * kRegs; ++i) {
        acc[t][i / kRegs][i % kRegs] = starts ? Isa::zero() : Isa::load_f32(sums + t * kGroupFloats + i * kWidth);
      }
    }
    for (std::uint64_t k = 0; k < num_steps * kLanes; k += kLanes) {
      if constexpr (kFormat == WeightFormat::kBF16) prefetch<kRows>(w, k * 2, rows[1] - rows[0]);
#pragma GCC unroll 16
      for (std::uint64_t j = 0; j < kRegs; ++j) {
        Reg b[kRows];
#pragma GCC unroll 16
        for (std::uint64_t r = 0; r < kRows; ++r) {
          b[r] = load<kFormat>(w[r] + (k + j * kWidth) * kElementBytes<kFormat>);
        }
#pragma GCC unroll 16
        for (std::uint32_t t = 0; t < kTokens; ++t) {
          const Reg a = Isa::load_f32(x + t * x_stride + k + j * kWidth);
#pragma GCC unroll 16
          for (std::uint64_t r = 0; r < kRows; ++r) acc[t][r][j] = Isa::fma(a, b[r], acc[t][r][j]);
        }
      }
    }
#pragma GCC unroll 16
    for (std::uint32_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 16
      for (std::uint64_t i = 0; i < kRows * kRegs; ++i) {
        Isa::store(sums + t * kGroupFloats + i * kWidth, acc[t][i / kRegs][i % kRegs]);
      }
    }
  }

  template <WeightFormat kFormat, std::uint32_t kTokens, bool kFromMemory>
  static void multiply_tokens(const Rows& rows, const float* x, std::uint64_t x_stride, std::uint32_t num_tokens,
                              std::uint64_t num_steps, bool starts, float* sums) {
    if (kTokens > 1 && num_tokens < kTokens) {
      if constexpr (kTokens > 1) {
        multiply_tokens<kFormat, kTokens - 1, kFromMemory>(rows, x, x_stride, num_tokens, num_steps, starts, sums);
      }
      return;
    }
    // As many rows as there are registers for; for one token two of memory, which delivers less to more streams.
    constexpr bool kAll = kGroupRows * kTokens <= Isa::kTileRows * kTileTokens;
    constexpr std::uint64_t kRows = kTokens == 1 && kFromMemory ? 2 : kAll ? kGroupRows : Isa::kTileRows;
    for (std::uint64_t r = 0; r < kGroupRows; r += kRows) {
      multiply<kFormat, kRows, kTokens>(rows, r, x, x_stride, num_steps, starts, sums);
    }
  }

  // Any number of tokens with the rows of a group.
  template <WeightFormat kFormat, bool kFromMemory>
  static void multiply_group(const Rows& rows, const float* x, std::uint64_t x_stride, std::uint32_t num_tokens,
                             std::uint64_t num_steps, bool starts, float* sums) {
    for (std::uint32_t t = 0; t < num_tokens; t += kTileTokens) {
      const std::uint32_t count = num_tokens - t < kTileTokens ? num_tokens - t : kTileTokens;
      multiply_tokens<kFormat, kTileTokens, kFromMemory>(rows, x + t * x_stride, x_stride, count, num_steps, starts,
                                                         sums + t * kGroupFloats);
    }
  }

  // Bytes [0, num_bytes) and zeros up to size.
  static void copy_with_zeros(const std::byte* from, std::size_t num_bytes, std::size_t size, std::byte* to) {
    for (std::size_t i = 0; i < size; ++i) to[i] = i < num_bytes ? from[i] : std::byte{0};
  }

  // E4M3 codes as FP16 of 2^-8 of their values, with zeros up to a multiple of 64. Is one of them a NaN?
  // What lies `ahead` bytes behind comes into the second-level cache.
  static bool decode_fp8(const std::byte* codes, std::uint64_t count, std::uint64_t ahead, std::byte* out) {
    constexpr std::uint64_t kChunk = 64;
    const std::uint64_t whole = count / kChunk * kChunk;
    bool has_nan = Isa::half_from_fp8(codes, whole, ahead, out);
    if (whole < count) {
      alignas(64) std::byte rest[kChunk];
      copy_with_zeros(codes + whole, count - whole, kChunk, rest);
      has_nan |= Isa::half_from_fp8(rest, kChunk, 0, out + 2 * whole);
    }
    return has_nan;
  }

  // Rows [n, n + kGroupRows) of a piece; after its end its last row again.
  static void group_rows(const std::byte* first, std::uint64_t num_rows, std::size_t row_bytes, std::uint64_t n,
                         Rows& rows) {
    for (std::uint64_t r = 0; r < kGroupRows; ++r) {
      rows[r] = first + (n + r < num_rows ? n + r : num_rows - 1) * row_bytes;
    }
  }

  template <WeightFormat kFormat>
  static void run_few(const Piece& piece) {
    float* const sums = piece.scratch + kPieceRows * kPanelDepth;
    for (std::uint64_t n = 0; n < piece.num_rows; n += kGroupRows) {
      float scales[kGroupRows];
      Rows rows;
      for (std::uint64_t r = 0; r < kGroupRows; ++r) scales[r] = piece.scales[n + r];
      group_rows(piece.weights, piece.num_rows, piece.in_features * kElementBytes<kFormat>, n, rows);
      if constexpr (kFormat == WeightFormat::kFp8) {
        multiply_fp8_group(piece, rows, scales, sums);
      } else {
        multiply_whole_group<kFormat>(piece, rows, sums);
      }
      finish<kFormat>(piece, n, 0, piece.num_tokens, scales, sums);
    }
  }

  template <WeightFormat kFormat>
  static void multiply_whole_group(const Piece& piece, const Rows& rows, float* sums) {
    const std::uint64_t num_steps = piece.in_features / kLanes;
    const std::uint64_t whole = num_steps * kLanes;
    multiply_group<kFormat, true>(rows, piece.x, piece.x_stride, piece.num_tokens, num_steps, true, sums);
    if (whole == piece.in_features) return;
    constexpr std::size_t kBytes = kElementBytes<kFormat>;
    alignas(64) std::byte rest[kGroupRows][kLanes * kBytes];
    Rows rest_rows;
    for (std::uint64_t r = 0; r < kGroupRows; ++r) {
      copy_with_zeros(rows[r] + whole * kBytes, (piece.in_features - whole) * kBytes, kLanes * kBytes, rest[r]);
      rest_rows[r] = rest[r];
    }
    multiply_group<kFormat, true>(rest_rows, piece.x + whole, piece.x_stride, piece.num_tokens, 1, false, sums);
  }

  // Through FP16 in the first-level cache, in steps so short that one is loaded while another is multiplied. A NaN
  // makes all of its row's outputs NaN: so does its scale.
  static void multiply_fp8_group(const Piece& piece, const Rows& rows, float* scales, float* sums) {
    constexpr std::uint64_t kDepth = 256;
    static_assert(kGroupRows * kDepth * 2 <= kPieceRows * kPanelDepth * sizeof(float));
    auto* const halves = reinterpret_cast<std::byte*>(piece.scratch);
    Rows half_rows;
    group_rows(halves, kGroupRows, kDepth * 2, 0, half_rows);
    for (std::uint64_t k = 0; k < piece.in_features; k += kDepth) {
      const std::uint64_t depth = piece.in_features - k < kDepth ? piece.in_features - k : kDepth;
      for (std::uint64_t r = 0; r < kGroupRows; ++r) {
        const std::uint64_t ahead = kGroupRows * piece.in_features;
        if (decode_fp8(rows[r] + k, depth, ahead, halves + r * kDepth * 2)) scales[r] = __builtin_nanf("");
      }
      multiply_group<WeightFormat::kF16, false>(half_rows, piece.x + k, piece.x_stride, piece.num_tokens,
                                                (depth + kLanes - 1) / kLanes, k == 0, sums);
    }
  }

  // Elements [0, count) of a row as float32, with zeros up to a multiple of kLanes.
  template <WeightFormat kFormat>
  static void decode(const std::byte* row, std::uint64_t count, float* out) {
    constexpr std::size_t kBytes = kElementBytes<kFormat>;
    const std::uint64_t whole = count / kLanes * kLanes;
    for (std::uint64_t k = 0; k < whole; k += kWidth) Isa::store(out + k, load<kFormat>(row + k * kBytes));
    if (whole == count) return;
    alignas(64) std::byte rest[kLanes * kBytes];
    copy_with_zeros(row + whole * kBytes, (count - whole) * kBytes, kLanes * kBytes, rest);
    for (std::uint64_t k = 0; k < kLanes; k += kWidth) Isa::store(out + whole + k, load<kFormat>(rest + k * kBytes));
  }

  // Elements [k, k + depth) of all rows of a piece; a NaN spoils the scale of its row.
  template <WeightFormat kFormat>
  static void decode_panel(const Piece& piece, std::uint64_t k, std::uint64_t depth, float* panel, float* scales) {
    for (std::uint64_t r = 0; r < piece.num_rows; ++r) {
      const std::byte* const row = piece.weights + (r * piece.in_features + k) * kElementBytes<kFormat>;
      if constexpr (kFormat == WeightFormat::kFp8) {
        alignas(64) std::byte halves[kPanelDepth * 2];
        if (decode_fp8(row, depth, kPanelDepth, halves)) scales[r] = __builtin_nanf("");
        decode<WeightFormat::kF16>(halves, (depth + kLanes - 1) / kLanes * kLanes, panel + r * kPanelDepth);
      } else {
        decode<kFormat>(row, depth, panel + r * kPanelDepth);
      }
    }
  }

  // Tokens [t, t + num_tokens) with elements [k, k + depth) of all rows; sums [groups of rows][num_tokens].
  static void multiply_panel(const Piece& piece, const float* panel, std::uint64_t k, std::uint64_t depth,
                             std::uint32_t t, std::uint32_t num_tokens, float* sums) {
    const float* const x = piece.x + t * piece.x_stride + k;
    for (std::uint64_t n = 0; n < piece.num_rows; n += kGroupRows) {
      Rows rows;
      group_rows(reinterpret_cast<const std::byte*>(panel), piece.num_rows, kPanelDepth * sizeof(float), n, rows);
      multiply_tokens<WeightFormat::kF32, kTileTokens, false>(rows, x, piece.x_stride, num_tokens,
                                                              (depth + kLanes - 1) / kLanes, k == 0, sums);
      sums += num_tokens * kGroupFloats;
    }
  }

  template <WeightFormat kFormat>
  static void run_many(const Piece& piece) {
    float* const panel = piece.scratch;
    float* const sums = piece.scratch + kPieceRows * kPanelDepth;
    const std::uint64_t num_groups = (piece.num_rows + kGroupRows - 1) / kGroupRows;
    float scales[kPieceRows];
    for (std::uint64_t r = 0; r < kPieceRows; ++r) scales[r] = piece.scales[r];
    for (std::uint64_t k = 0; k < piece.in_features; k += kPanelDepth) {
      const std::uint64_t depth = piece.in_features - k < kPanelDepth ? piece.in_features - k : kPanelDepth;
      decode_panel<kFormat>(piece, k, depth, panel, scales);
      for (std::uint32_t t = 0; t < piece.num_tokens; t += kTileTokens) {
        multiply_panel(piece, panel, k, depth, t, tile_tokens(piece, t), sums + t * num_groups * kGroupFloats);
      }
    }
    for (std::uint32_t t = 0; t < piece.num_tokens; t += kTileTokens) {
      const std::uint32_t count = tile_tokens(piece, t);
      for (std::uint64_t n = 0; n < piece.num_rows; n += kGroupRows) {
        finish<kFormat>(piece, n, t, count, scales + n,
                        sums + (t * num_groups + n / kGroupRows * count) * kGroupFloats);
      }
    }
  }

  static std::uint32_t tile_tokens(const Piece& piece, std::uint32_t t) {
    return piece.num_tokens - t < kTileTokens ? piece.num_tokens - t : kTileTokens;
  }

  // Lanes l and l + 8.
  static __m256 fold(const float* lanes) { return _mm256_add_ps(_mm256_load_ps(lanes), _mm256_load_ps(lanes + 8)); }

  // To nearest, ties to even; NaNs stay NaNs.
  static __m128 round_to_bf16(__m128 value) {
    const __m128i bits = _mm_castps_si128(value);
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(1));
    const __m128i sum = _mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x7FFF)), odd);
    const __m128i rounded = _mm_and_si128(sum, _mm_set1_epi32(static_cast<std::int32_t>(0xFFFF0000U)));
    const __m128 nan = _mm_castsi128_ps(_mm_set1_epi32(0x7FC00000));
    return _mm_blendv_ps(_mm_castsi128_ps(rounded), nan, _mm_cmpunord_ps(value, value));
  }

  // The sums of kGroupRows x kLanes.
  static __m128 add_lanes(const float* sums) {
    const __m256 pairs01 = _mm256_hadd_ps(fold(sums), fold(sums + kLanes));
    const __m256 pairs23 = _mm256_hadd_ps(fold(sums + 2 * kLanes), fold(sums + 3 * kLanes));
    const __m256 fours = _mm256_hadd_ps(pairs01, pairs23);
    return _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
  }

  // y of rows [n, n + kGroupRows) and tokens [t, t + num_tokens) from sums [num_tokens][kGroupRows][kLanes].
  template <WeightFormat kFormat>
  static void finish(const Piece& piece, std::uint64_t n, std::uint32_t first_token, std::uint32_t num_tokens,
                     const float* scales, const float* sums) {
    const std::uint64_t count = piece.num_rows - n < kGroupRows ? piece.num_rows - n : kGroupRows;
    alignas(16) float bias[kGroupRows] = {};
    for (std::uint64_t r = 0; r < count && piece.bias != nullptr; ++r) bias[r] = piece.bias[n + r];
    const __m128 row_scales = _mm_loadu_ps(scales);
    const __m128 row_bias = _mm_load_ps(bias);
    for (std::uint32_t i = 0; i < num_tokens; ++i) {
      const std::uint32_t t = first_token + i;
      __m128 sum = add_lanes(sums + i * kGroupFloats);
      if constexpr (kFormat == WeightFormat::kFp8) sum = _mm_mul_ps(sum, _mm_set1_ps(kFp8Factor));
      const __m128 multiplier = _mm_set1_ps(piece.multipliers == nullptr ? 1.0F : piece.multipliers[t]);
      __m128 value = _mm_mul_ps(sum, _mm_mul_ps(row_scales, multiplier));
      if (piece.bias != nullptr) value = _mm_add_ps(value, row_bias);
      if (piece.round_to_bf16) value = round_to_bf16(value);
      float* const y = piece.y + t * piece.y_stride + n;
      if (count == kGroupRows) {
        _mm_storeu_ps(y, value);
      } else {
        alignas(16) float values[kGroupRows];
        _mm_store_ps(values, value);
        for (std::uint64_t r = 0; r < count; ++r) y[r] = values[r];
      }
    }
  }
};

}  // namespace nvfp4::kernels::cpu_shared::plain
