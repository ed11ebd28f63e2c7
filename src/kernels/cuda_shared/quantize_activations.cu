#include "formats/bf16.h"
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/quantize_activations_block.h"
#include "kernels/cuda_shared/sort_by_expert_block.cuh"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kHeldBlocks = 2;  // of 16 values, by each thread
constexpr std::uint32_t kNanPair = 0x7FC07FC0U;

using Words = std::uint32_t[8];  // 16 BF16 numbers

__device__ __forceinline__ void load_words(const Bf16Bits* from, Words& words) {
  const uint4 first = reinterpret_cast<const uint4*>(from)[0];
  const uint4 second = reinterpret_cast<const uint4*>(from)[1];
  words[0] = first.x, words[1] = first.y, words[2] = first.z, words[3] = first.w;
  words[4] = second.x, words[5] = second.y, words[6] = second.z, words[7] = second.w;
}
__device__ __forceinline__ void store_words(const Words& words, Bf16Bits* to) {
  reinterpret_cast<uint4*>(to)[0] = {words[0], words[1], words[2], words[3]};
  reinterpret_cast<uint4*>(to)[1] = {words[4], words[5], words[6], words[7]};
}

__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  return encode_bf16(low) | static_cast<std::uint32_t>(encode_bf16(high)) << 16U;
}
__device__ __forceinline__ float low_bf16(std::uint32_t word) { return __uint_as_float(word << 16U); }
__device__ __forceinline__ float high_bf16(std::uint32_t word) { return __uint_as_float(word & 0xFFFF0000U); }

// Where a row comes from.
struct Source {
  std::int32_t pair = 0;  // -1: the row is none
  std::uint32_t token = 0;
  float input_scale = 1.0F;
};
__device__ __forceinline__ Source source_of(const QuantizeActivations& q, std::uint32_t row) {
  Source source{static_cast<std::int32_t>(row), row, q.input_scale};
  if (q.pair_of_row != nullptr) {
    source.pair = q.pair_of_row[row];
    if (source.pair < 0) return source;
    source.token = static_cast<std::uint32_t>(source.pair) / q.top_k;
  }
  if (q.input_scales == nullptr) return source;
  const std::int32_t place = q.expert_ids == nullptr ? 0 : expert_place(q.lookup, q.expert_ids[source.pair]);
  source.input_scale = q.input_scales[place < 0 ? 0 : place];
  return source;
}

// Largest of the numbers of a row's threads, which all call it.
template <std::uint32_t kThreads>
__device__ __forceinline__ std::uint32_t largest_of_row(std::uint32_t mine) {
  const std::uint32_t of_warp = __reduce_max_sync(kAllLanes, mine);
  if constexpr (kThreads == 32) return of_warp;
  __shared__ std::uint32_t of_warps[kThreads / 32];
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = of_warp;
  __syncthreads();
  const std::uint32_t lane = threadIdx.x % 32;
  return __reduce_max_sync(kAllLanes, lane < kThreads / 32 ? of_warps[lane] : 0U);
}

// E4M3 of the quotient, as a number.
__device__ __forceinline__ float round_to_e4m3(float value, float scale) {
  const float quotient = rounded_quotient(value, scale);
  const float magnitude = round_to_step(smaller(fabsf(quotient), kE4m3Max), 0x1p-6F, 0x1.8p20F);
  return copysignf(magnitude, quotient);
}

// 16 values as they go into the rounding: words, or float32 where a factor made them so.
struct PlainValues {
  static constexpr bool kIsSmall = true;
  Words words;

  __device__ __forceinline__ void load(const QuantizeActivations& q, const Source& source, std::uint32_t k) {
    load_words(q.x + std::size_t{source.token} * q.in_features + k, words);
  }
  // Float32 bits.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    return largest_magnitude_bits(words) << 16U;
  }
  __device__ __forceinline__ void round_to_nvfp4(const RowScale& row, Words& out) const {
    round_block(row, __uint_as_float(largest()), words, out);
  }
  [[nodiscard]] __device__ __forceinline__ float value(std::uint32_t i) const {
    return i % 2 == 0 ? low_bf16(words[i / 2]) : high_bf16(words[i / 2]);
  }
};

struct ScaledValues {
  static constexpr bool kIsSmall = false;
  float values[kQuantizedBlock];

  __device__ __forceinline__ void load(const QuantizeActivations& q, const Source& source, std::uint32_t k) {
    PlainValues plain;
    plain.load(q, source, k);
    const float weight = q.router_weights == nullptr ? 1.0F : q.router_weights[source.pair];
#pragma unroll
    for (std::uint32_t i = 0; i < kQuantizedBlock; ++i) {
      values[i] = plain.value(i);
      if (q.pre_quant_scale != nullptr) values[i] = round_to_bf16(rounded_product(values[i], q.pre_quant_scale[k + i]));
      if (q.router_weights != nullptr) values[i] = rounded_product(values[i], weight);
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    std::uint32_t bits = 0;
#pragma unroll
    for (const float value : values) bits = max(bits, __float_as_uint(value) & kFloatMagnitudeMask);
    return bits;
  }
  __device__ __forceinline__ void round_to_nvfp4(const RowScale& row, Words& out) const {
    const BlockScale block = BlockScale::from_largest(row, __uint_as_float(largest()));
#pragma unroll
    for (std::uint32_t i = 0; i < 8; ++i)
      out[i] = pack_bf16(block.round(values[2 * i]), block.round(values[2 * i + 1]));
  }
  [[nodiscard]] __device__ __forceinline__ float value(std::uint32_t i) const { return values[i]; }
};

template <class Values>
__device__ __forceinline__ void round_values(const Values& values, Activation activation, const RowScale& row,
                                             float fp8_scale, Words& out) {
  if (activation == Activation::kNvfp4Static || activation == Activation::kNvfp4Dynamic) {
    values.round_to_nvfp4(row, out);
    return;
  }
  const bool is_fp8 = activation != Activation::k16Bit;
#pragma unroll
  for (std::uint32_t i = 0; i < 8; ++i) {
    float low = values.value(2 * i);
    float high = values.value(2 * i + 1);
    if (is_fp8) {
      low = round_to_e4m3(low, fp8_scale);
      high = round_to_e4m3(high, fp8_scale);
    }
    out[i] = pack_bf16(low, high);
  }
}

// Blocks of one row, or of several if a warp is enough for each.
template <std::uint32_t kThreads>
constexpr std::uint32_t kRowsOfBlock = kThreads == 32 ? 4 : 1;

// Rows of one warp are many: they leave a thread 56 registers, longer ones 64.
template <std::uint32_t kThreads>
constexpr std::uint32_t kLeastBlocks = kThreads == 32 ? 9 : 1024 / kThreads;

template <std::uint32_t kThreads, class Values>
__global__ void __launch_bounds__(kThreads* kRowsOfBlock<kThreads>, Values::kIsSmall ? kLeastBlocks<kThreads> : 1)
    quantize_rows(QuantizeActivations q) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::uint32_t row_idx = blockIdx.x * kRowsOfBlock<kThreads> + threadIdx.x / kThreads;
  const std::uint32_t thread = threadIdx.x % kThreads;
  if (row_idx >= q.num_rows) return;
  const Source source = source_of(q, row_idx);
  if (source.pair < 0) return;

  Values held[kHeldBlocks];
  std::uint32_t largest = 0;
#pragma unroll
  for (std::uint32_t i = 0; i < kHeldBlocks; ++i) {
    const std::uint32_t k = (i * kThreads + thread) * kQuantizedBlock;
    if (k >= q.in_features) continue;
    held[i].load(q, source, k);
    largest = max(largest, held[i].largest());
  }
  largest = largest_of_row<kThreads>(largest);

  const bool is_finite = largest < kFloatInfinityBits || q.activation == Activation::k16Bit;
  RowScale row;
  float scale = 1.0F;
  if (q.activation == Activation::kNvfp4Static || q.activation == Activation::kNvfp4Dynamic) {
    row = q.activation == Activation::kNvfp4Static ? RowScale::from_stored(q.rule, source.input_scale)
                                                   : RowScale::from_largest(__uint_as_float(largest));
    scale = row.multiplier();
  } else if (q.activation == Activation::kFp8Static) {
    scale = source.input_scale;
  } else if (q.activation == Activation::kFp8Dynamic) {
    scale = rounded_quotient(__uint_as_float(largest), kE4m3Max);
    if (scale == 0.0F) scale = 1.0F;
  }
  if (thread == 0) q.row_scale[row_idx] = scale;

  Bf16Bits* const out = q.values + std::size_t{row_idx} * q.in_features;
#pragma unroll
  for (std::uint32_t i = 0; i < kHeldBlocks; ++i) {
    const std::uint32_t k = (i * kThreads + thread) * kQuantizedBlock;
    if (k >= q.in_features) continue;
    Words rounded = {kNanPair, kNanPair, kNanPair, kNanPair, kNanPair, kNanPair, kNanPair, kNanPair};
    if (is_finite) round_values(held[i], q.activation, row, scale, rounded);
    store_words(rounded, out + k);
  }
}

template <std::uint32_t kThreads>
Status launch_rows(const QuantizeActivations& q, DeviceStream stream) {
  constexpr std::uint32_t kRows = kRowsOfBlock<kThreads>;
  const LaunchShape shape{.blocks = (q.num_rows + kRows - 1) / kRows, .num_threads = kThreads * kRows};
  const bool is_scaled = q.pre_quant_scale != nullptr || q.router_weights != nullptr;
  const auto kernel = is_scaled ? quantize_rows<kThreads, ScaledValues> : quantize_rows<kThreads, PlainValues>;
  return launch("quantize activations", kernel, shape, stream, q);
}

}  // namespace

Status quantize_activations(const QuantizeActivations& quantize, DeviceStream stream) {
  constexpr std::uint32_t kThreadColumns = kHeldBlocks * kQuantizedBlock;
  const std::uint32_t num_threads = (quantize.in_features + kThreadColumns - 1) / kThreadColumns;
  constexpr std::uint32_t kManyRows = 1024;  // fewer are done sooner by more threads
  if (num_threads <= 32 && quantize.num_rows > kManyRows) return launch_rows<32>(quantize, stream);
  if (num_threads <= 64) return launch_rows<64>(quantize, stream);
  if (num_threads <= 128) return launch_rows<128>(quantize, stream);
  if (num_threads <= 256) return launch_rows<256>(quantize, stream);
  return launch_rows<1024>(quantize, stream);
}

}  // namespace nvfp4::kernels
