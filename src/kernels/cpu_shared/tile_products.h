// The functions of TileKernels as templates over an instruction set `Isa`, which has
//
//   kLanes                    rows in a vector (I: 32-bit integers or bytes, F: floats), 8 or 16
//   kFew, kPanelTokens        most tokens of one call
//   kFewChains                sums that are under way at a time when tokens are few
//   kPanelVectors             row vectors that a panel product works on at a time
//   begin, step, end          dot products of bytes: end(step(... step(begin(c), u, s) ...), c) = c + sum of u * s
//   decode                    16-byte table look-up of the low and high nibbles
// and loads, stores and arithmetic under their usual names.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/cpu_shared/tile_kernels.h"

#define NVFP4_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define NVFP4_UNROLL  // does so by itself, and warns where a sanitizer keeps it from it
#else
#define NVFP4_UNROLL _Pragma("GCC unroll 16")
#endif

namespace nvfp4::kernels::cpu_shared {

template <class Isa>
struct TileFunctions {
  using F = typename Isa::F;
  using I = typename Isa::I;
  using Partial = typename Isa::Partial;
  static constexpr int kLanes = Isa::kLanes;
  static constexpr int kHalves = static_cast<int>(Tile16x64::kRows) / kLanes;  // vectors of a row group
  static constexpr int kPanelVectors = static_cast<int>(kPanelRows) / kLanes;
  static constexpr int kVectorBytes = kLanes * 4;
  static constexpr int kPanelBlockBytes = 6 * kVectorBytes;  // 4 of weights, scales, biases
  static constexpr int kPanelVectorTileBytes = 4 * kPanelBlockBytes;
  // Bytes ahead; measured on Sapphire Rapids: the second-level cache has what is 20 KB ahead, the first 3.4 KB.
  static constexpr std::uint64_t kFarPrefetch = 20480;
  static constexpr std::uint64_t kNearPrefetch = 3456;
  static constexpr float kMinusDotBase = -kDotBaseValue;
  static constexpr float kHigh = kHighUnit;  // in memory of its own
  static constexpr std::size_t kPanelTileBytes = std::size_t{kPanelVectors} * kPanelVectorTileBytes;

  // Weights of one block: bytes of columns in kPackedOrder, and their scales.
  struct Block {
    I w[4];
    F scale;
  };
  static NVFP4_INLINE Block decode_block(const std::uint8_t* tile, int half, int block, I table) {
    Block out;
    const std::uint8_t* const codes = tile + Tile16x64::kCodesOffset + block * 128 + half * kVectorBytes;
    Isa::decode(codes, table, out.w[0], out.w[1]);
    Isa::decode(codes + 64, table, out.w[2], out.w[3]);
    out.scale = Isa::tile_scale(tile + block * 16 + half * kLanes);
    return out;
  }

  // The processor's own prefetching does not keep up with tiles that are computed on as they come.
  static NVFP4_INLINE void prefetch_tile(const std::uint8_t* tile, const StreamEnd& stream) {
    const std::uint8_t* const far = stream.at(tile + kFarPrefetch);
    const std::uint8_t* const near = stream.at(tile + kNearPrefetch);
    NVFP4_UNROLL
    for (std::uint64_t line = 0; line < Tile16x64::kBytes; line += 64) {
      __builtin_prefetch(far + line, 0, 2);
      __builtin_prefetch(near + line, 0, 3);
    }
  }

  // Blocks of a tile that are multiplied side by side: with few tokens, chains of dependent sums would wait otherwise.
  static constexpr int few_blocks(int num_tokens) {
    const int wanted = Isa::kFewChains / num_tokens;
    return wanted >= 4 ? 4 : wanted >= 2 ? 2 : 1;
  }

  // sums[b][t] += the products of block b with x[t].
  template <int B, int T, class Words>
  static NVFP4_INLINE void add_products(Partial (&sums)[B][T], const Block (&blocks)[B], Words words) {
    NVFP4_UNROLL
    for (int d = 0; d < 4; ++d) {
      NVFP4_UNROLL
      for (int b = 0; b < B; ++b) {
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) {
          sums[b][t] = Isa::step(sums[b][t], blocks[b].w[d], Isa::splat_word(words(b, t) + 4 * d));
        }
      }
    }
  }

  // 12 + 2 * E2M1 as unsigned bytes times signed digits: the dot products of B blocks from first on with high numbers.
  template <int B, int T>
  static NVFP4_INLINE void few_high_blocks(const Block (&blocks)[B], const DigitTile* x, int first, I (&value)[B][T]) {
    I digits[2][B][T];
    NVFP4_UNROLL
    for (int digit = 0; digit < 2; ++digit) {
      Partial sums[B][T];
      NVFP4_UNROLL
      for (int b = 0; b < B; ++b) {
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) {
          digits[digit][b][t] = digit == 1 ? Isa::splat_word(&x[t].high_bias[first + b]) : Isa::zero_i();
          sums[b][t] = Isa::begin(digits[digit][b][t]);
        }
      }
      add_products<B, T>(sums, blocks, [&](int b, int t) { return x[t].digits[first + b][digit]; });
      NVFP4_UNROLL
      for (int b = 0; b < B; ++b) {
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) digits[digit][b][t] = Isa::end(sums[b][t], digits[digit][b][t]);
      }
    }
    NVFP4_UNROLL
    for (int b = 0; b < B; ++b) {
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) value[b][t] = Isa::add(Isa::shift8(digits[0][b][t]), digits[1][b][t]);
    }
  }

  // Its products with the low numbers of one token, if it has any.
  static NVFP4_INLINE F add_low_block(const Block& block, const DigitTile& x, int b, F low) {
    const std::int32_t bias = x.low_bias[b];
    const I start = Isa::splat_word(&bias);
    Partial sum = Isa::begin(start);
    NVFP4_UNROLL
    for (int d = 0; d < 4; ++d) sum = Isa::step(sum, block.w[d], Isa::splat_word(&x.digits[b][2][4 * d]));
    const F product = Isa::mul(Isa::to_float(Isa::end(sum, start)), block.scale);
    return Isa::fma(product, Isa::splat(&x.scale), low);
  }

  template <int T>
  static void few_digits(const std::uint8_t* tiles, std::uint64_t num_tiles, const StreamEnd& stream,
                         const std::uint8_t* packed, float* acc) {
    constexpr int B = few_blocks(T);
    const I table = Isa::table(true);
    for (int half = 0; half < kHalves; ++half) {
      F sum[T];
      F low[T];
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) sum[t] = low[t] = Isa::zero_f();
      const auto* x = reinterpret_cast<const DigitTile*>(packed);
      const std::uint8_t* tile = tiles;
      for (std::uint64_t i = 0; i < num_tiles; ++i, tile += Tile16x64::kBytes, x += T) {
        if (half == 0) prefetch_tile(tile, stream);
        F tile_sum[T];
        NVFP4_UNROLL
        for (int first = 0; first < 4; first += B) {
          Block blocks[B];
          NVFP4_UNROLL
          for (int b = 0; b < B; ++b) blocks[b] = decode_block(tile, half, first + b, table);
          I value[B][T];
          few_high_blocks<B, T>(blocks, x, first, value);
          NVFP4_UNROLL
          for (int b = 0; b < B; ++b) {
            NVFP4_UNROLL
            for (int t = 0; t < T; ++t) {
              const F product = Isa::to_float(value[b][t]);
              tile_sum[t] =
                  first + b == 0 ? Isa::mul(product, blocks[b].scale) : Isa::fma(product, blocks[b].scale, tile_sum[t]);
            }
          }
          NVFP4_UNROLL
          for (int t = 0; t < T; ++t) {
            if ((x[t].low_blocks >> first & ((1U << B) - 1)) == 0) continue;
            NVFP4_UNROLL
            for (int b = 0; b < B; ++b) {
              if ((x[t].low_blocks >> (first + b) & 1U) != 0)
                low[t] = add_low_block(blocks[b], x[t], first + b, low[t]);
            }
          }
        }
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) sum[t] = Isa::fma(tile_sum[t], Isa::splat(&x[t].scale), sum[t]);
      }
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) {
        Isa::store(acc + t * 16 + half * kLanes, Isa::fma(sum[t], Isa::splat(&kHigh), low[t]));
      }
    }
  }

  template <int T>
  static void few_codes(const std::uint8_t* tiles, std::uint64_t num_tiles, const StreamEnd& stream,
                        const std::uint8_t* packed, float* acc) {
    constexpr int B = few_blocks(T);
    const I table = Isa::table(true);
    for (int half = 0; half < kHalves; ++half) {
      F sum[T];
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) sum[t] = Isa::zero_f();
      const auto* x = reinterpret_cast<const CodeTile*>(packed);
      const std::uint8_t* tile = tiles;
      for (std::uint64_t i = 0; i < num_tiles; ++i, tile += Tile16x64::kBytes, x += T) {
        if (half == 0) prefetch_tile(tile, stream);
        NVFP4_UNROLL
        for (int first = 0; first < 4; first += B) {
          Block blocks[B];
          Partial sums[B][T];
          NVFP4_UNROLL
          for (int b = 0; b < B; ++b) {
            blocks[b] = decode_block(tile, half, first + b, table);
            NVFP4_UNROLL
            for (int t = 0; t < T; ++t) sums[b][t] = Isa::begin(Isa::splat_word(&x[t].start[first + b]));
          }
          add_products<B, T>(
              sums, blocks, [&](int b, int t) { return reinterpret_cast<const std::uint8_t*>(x[t].codes[first + b]); });
          NVFP4_UNROLL
          for (int b = 0; b < B; ++b) {
            const F minus_base = Isa::mul(blocks[b].scale, Isa::splat(&kMinusDotBase));
            NVFP4_UNROLL
            for (int t = 0; t < T; ++t) {
              const I value = Isa::end(sums[b][t], Isa::splat_word(&x[t].start[first + b]));
              const F product = Isa::fma(Isa::as_float(value), blocks[b].scale, minus_base);
              sum[t] = Isa::fma(product, Isa::splat(&x[t].scale[first + b]), sum[t]);
            }
          }
        }
      }
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) Isa::store(acc + t * 16 + half * kLanes, sum[t]);
    }
  }

  // Panel: [tile][row vector][block] {4 vectors of weights, scales, and what sums start from (digits) or -kDotBaseValue
  // * scales (codes)}.
  template <bool kDigits>
  static void decode_panel(const std::uint8_t* first_group, const std::uint8_t* second_group, std::uint64_t num_tiles,
                           std::uint8_t* panel) {
    const I table = Isa::table(!kDigits);
    for (std::uint64_t i = 0; i < num_tiles; ++i) {
      const std::uint64_t offset = i * Tile16x64::kBytes;
      for (int v = 0; v < kPanelVectors; ++v) {
        const std::uint8_t* const tile = (v < kHalves ? first_group : second_group) + offset;
        for (int b = 0; b < 4; ++b, panel += kPanelBlockBytes) {
          const Block block = decode_block(tile, v % kHalves, b, table);
          for (int d = 0; d < 4; ++d) Isa::store(panel + d * kVectorBytes, block.w[d]);
          Isa::store(reinterpret_cast<float*>(panel + 4 * kVectorBytes), block.scale);
          // The most significant digit and the low number come with 128 added.
          if constexpr (kDigits) {
            Isa::store(panel + 5 * kVectorBytes, Isa::minus_128_times_sum(block.w));
          } else {
            Isa::store(reinterpret_cast<float*>(panel + 5 * kVectorBytes),
                       Isa::mul(block.scale, Isa::splat(&kMinusDotBase)));
          }
        }
      }
    }
  }

  // R row vectors, T tokens. Signed weights times unsigned digits.
  template <int R, int T>
  static NVFP4_INLINE void add_digit(Partial (&sum)[R][T], const std::uint8_t* block, const DigitTile* x, int b,
                                     int digit) {
    NVFP4_UNROLL
    for (int d = 0; d < 4; ++d) {
      I w[R];
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) w[r] = Isa::load_i(block + r * kPanelVectorTileBytes + d * kVectorBytes);
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) {
        const I digits = Isa::splat_word(&x[t].digits[b][digit][4 * d]);
        NVFP4_UNROLL
        for (int r = 0; r < R; ++r) sum[r][t] = Isa::step(sum[r][t], digits, w[r]);
      }
    }
  }

  template <int R, int T>
  static NVFP4_INLINE void panel_digit_tile(const std::uint8_t* panel, const DigitTile* x, float* acc) {
    F tile_sum[R][T];
    NVFP4_UNROLL
    for (int b = 0; b < 4; ++b) {
      const std::uint8_t* const block = panel + b * kPanelBlockBytes;
      I value[R][T];
      NVFP4_UNROLL
      for (int digit = 0; digit < 2; ++digit) {
        Partial sum[R][T];
        NVFP4_UNROLL
        for (int r = 0; r < R; ++r) {
          NVFP4_UNROLL
          for (int t = 0; t < T; ++t) {
            value[r][t] = digit == 0   ? Isa::load_i(block + r * kPanelVectorTileBytes + 5 * kVectorBytes)
                          : r % 2 == 0 ? Isa::shift8(value[r][t])
                                       : Isa::shift8_by_shuffle(value[r][t]);
            sum[r][t] = Isa::begin(value[r][t]);
          }
        }
        add_digit<R, T>(sum, block, x, b, digit);
        NVFP4_UNROLL
        for (int r = 0; r < R; ++r) {
          NVFP4_UNROLL
          for (int t = 0; t < T; ++t) value[r][t] = Isa::end(sum[r][t], value[r][t]);
        }
      }
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) {
        const F scale =
            Isa::load_f(reinterpret_cast<const float*>(block + r * kPanelVectorTileBytes + 4 * kVectorBytes));
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) {
          const F product = Isa::to_float(value[r][t]);
          tile_sum[r][t] = b == 0 ? Isa::mul(product, scale) : Isa::fma(product, scale, tile_sum[r][t]);
        }
      }
    }
    NVFP4_UNROLL
    for (int t = 0; t < T; ++t) {
      const F scale = Isa::splat(&x[t].scale);
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) {
        float* const at = acc + t * kPanelRows + r * kLanes;
        Isa::store(at, Isa::fma(tile_sum[r][t], scale, Isa::load_f(at)));
      }
    }
  }

  static NVFP4_INLINE void panel_low_block(const std::uint8_t* panel, const DigitTile& x, int b, float* low) {
    NVFP4_UNROLL
    for (int v = 0; v < kPanelVectors; ++v) {
      const std::uint8_t* const block = panel + v * kPanelVectorTileBytes + b * kPanelBlockBytes;
      const I start = Isa::load_i(block + 5 * kVectorBytes);
      Partial sum = Isa::begin(start);
      NVFP4_UNROLL
      for (int d = 0; d < 4; ++d) {
        sum = Isa::step(sum, Isa::splat_word(&x.digits[b][2][4 * d]), Isa::load_i(block + d * kVectorBytes));
      }
      const F scale = Isa::load_f(reinterpret_cast<const float*>(block + 4 * kVectorBytes));
      const F product = Isa::mul(Isa::to_float(Isa::end(sum, start)), scale);
      float* const at = low + v * kLanes;
      Isa::store(at, Isa::fma(product, Isa::splat(&x.scale), Isa::load_f(at)));
    }
  }

  // The same for all blocks of a tile: where low numbers are zero this adds zero.
  template <int R, int T>
  static NVFP4_INLINE void panel_low_tile(const std::uint8_t* panel, const DigitTile* x, float* low) {
    F sum[R][T];
    NVFP4_UNROLL
    for (int t = 0; t < T; ++t) {
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) sum[r][t] = Isa::load_f(low + t * kPanelRows + r * kLanes);
    }
    NVFP4_UNROLL
    for (int b = 0; b < 4; ++b) {
      const std::uint8_t* const block = panel + b * kPanelBlockBytes;
      I start[R];
      Partial dots[R][T];
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) {
        start[r] = Isa::load_i(block + r * kPanelVectorTileBytes + 5 * kVectorBytes);
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) dots[r][t] = Isa::begin(start[r]);
      }
      add_digit<R, T>(dots, block, x, b, 2);
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) {
        const F scale =
            Isa::load_f(reinterpret_cast<const float*>(block + r * kPanelVectorTileBytes + 4 * kVectorBytes));
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) {
          const F product = Isa::mul(Isa::to_float(Isa::end(dots[r][t], start[r])), scale);
          sum[r][t] = Isa::fma(product, Isa::splat(&x[t].scale), sum[r][t]);
        }
      }
    }
    NVFP4_UNROLL
    for (int t = 0; t < T; ++t) {
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) Isa::store(low + t * kPanelRows + r * kLanes, sum[r][t]);
    }
  }

  template <int T>
  static void panel_digits(const std::uint8_t* panel, std::uint64_t num_tiles, const std::uint8_t* packed,
                           const LowBlocks& low_blocks, float* acc, float* low) {
    constexpr int R = Isa::kPanelVectors;
    const auto* x = reinterpret_cast<const DigitTile*>(packed);
    for (std::uint64_t i = 0; i < num_tiles; ++i) {
      for (int v = 0; v < kPanelVectors; v += R) {
        const std::uint8_t* const vectors = panel + i * kPanelTileBytes + v * kPanelVectorTileBytes;
        panel_digit_tile<R, T>(vectors, x + i * T, acc + v * kLanes);
        if (low_blocks.all) panel_low_tile<R, T>(vectors, x + i * T, low + v * kLanes);
      }
    }
    for (const LowBlock* at = low_blocks.some; at != low_blocks.some + low_blocks.num_some; ++at) {
      const int tile = at->block_idx / 4;
      panel_low_block(panel + tile * kPanelTileBytes, x[tile * T + at->token_idx], at->block_idx % 4,
                      low + at->token_idx * kPanelRows);
    }
  }

  template <int R, int T>
  static NVFP4_INLINE void panel_code_block(const std::uint8_t* block, const CodeTile* x, int b, F (&sum)[R][T]) {
    Partial dots[R][T];
    NVFP4_UNROLL
    for (int t = 0; t < T; ++t) {
      const I start = Isa::splat_word(&x[t].start[b]);
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) dots[r][t] = Isa::begin(start);
    }
    NVFP4_UNROLL
    for (int d = 0; d < 4; ++d) {
      I w[R];
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) w[r] = Isa::load_i(block + r * kPanelVectorTileBytes + d * kVectorBytes);
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) {
        const I codes = Isa::splat_word(&x[t].codes[b][4 * d]);
        NVFP4_UNROLL
        for (int r = 0; r < R; ++r) dots[r][t] = Isa::step(dots[r][t], w[r], codes);
      }
    }
    NVFP4_UNROLL
    for (int r = 0; r < R; ++r) {
      const auto* const scales = reinterpret_cast<const float*>(block + r * kPanelVectorTileBytes + 4 * kVectorBytes);
      const F scale = Isa::load_f(scales);
      const F minus_base = Isa::load_f(scales + kLanes);
      NVFP4_UNROLL
      for (int t = 0; t < T; ++t) {
        const I value = Isa::end(dots[r][t], Isa::splat_word(&x[t].start[b]));
        const F product = Isa::fma(Isa::as_float(value), scale, minus_base);
        sum[r][t] = Isa::fma(product, Isa::splat(&x[t].scale[b]), sum[r][t]);
      }
    }
  }

  template <int T>
  static void panel_codes(const std::uint8_t* panel, std::uint64_t num_tiles, const std::uint8_t* packed,
                          const LowBlocks&, float* acc, float*) {
    constexpr int R = Isa::kPanelVectors;
    for (int v = 0; v < kPanelVectors; v += R) {
      F sum[R][T];
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) {
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) sum[r][t] = Isa::load_f(acc + t * kPanelRows + (v + r) * kLanes);
      }
      const std::uint8_t* block = panel + v * kPanelVectorTileBytes;
      const auto* x = reinterpret_cast<const CodeTile*>(packed);
      for (std::uint64_t i = 0; i < num_tiles; ++i, block += kPanelTileBytes, x += T) {
        NVFP4_UNROLL
        for (int b = 0; b < 4; ++b) panel_code_block<R, T>(block + b * kPanelBlockBytes, x, b, sum);
      }
      NVFP4_UNROLL
      for (int r = 0; r < R; ++r) {
        NVFP4_UNROLL
        for (int t = 0; t < T; ++t) Isa::store(acc + t * kPanelRows + (v + r) * kLanes, sum[r][t]);
      }
    }
  }

  static void store(const float* acc, float multiplier, const float* scales, const float* bias, std::uint64_t count,
                    bool round_to_bf16, float* y) {
    const F factor = Isa::splat(&multiplier);
    for (std::uint64_t r = 0; r < count; r += kLanes) {
      F value = Isa::mul(Isa::mul(Isa::load_f(acc + r), factor), Isa::load_f(scales + r));
      if (bias != nullptr) value = Isa::add(value, Isa::load_some(bias + r, count - r));
      if (round_to_bf16) value = Isa::round_to_bf16(value);
      Isa::store_some(y + r, value, count - r);
    }
  }
};

// All functions for up to kFew and kPanelTokens tokens.
template <class Isa, int... kFew, int... kPanel>
constexpr TileKernels make_tile_kernels(std::integer_sequence<int, kFew...>, std::integer_sequence<int, kPanel...>) {
  using Functions = TileFunctions<Isa>;
  TileKernels kernels{};
  kernels.digits.few = {Functions::template few_digits<kFew + 1>...};
  kernels.codes.few = {Functions::template few_codes<kFew + 1>...};
  kernels.digits.panel = {Functions::template panel_digits<kPanel + 1>...};
  kernels.codes.panel = {Functions::template panel_codes<kPanel + 1>...};
  kernels.digits.decode_panel = Functions::template decode_panel<true>;
  kernels.codes.decode_panel = Functions::template decode_panel<false>;
  kernels.digits.max_few = kernels.codes.max_few = sizeof...(kFew);
  kernels.digits.max_panel = kernels.codes.max_panel = sizeof...(kPanel);
  kernels.panel_tile_bytes = Functions::kPanelTileBytes;
  kernels.pack_digits = Isa::pack_digits;
  kernels.pack_codes = Isa::pack_codes;
  kernels.quantize_nvfp4_row = Isa::quantize_nvfp4_row;
  kernels.store = Functions::store;
  return kernels;
}

template <class Isa>
constexpr TileKernels make_tile_kernels() {
  return make_tile_kernels<Isa>(std::make_integer_sequence<int, Isa::kFew>(),
                                std::make_integer_sequence<int, Isa::kPanelTokens>());
}

}  // namespace nvfp4::kernels::cpu_shared
