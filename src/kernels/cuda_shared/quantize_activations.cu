#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/quantize_activations_rows.cuh"

namespace nvfp4::kernels {
namespace {

constexpr std::uint32_t kHeldBlocks = 2;  // of 16 values, by each thread
constexpr std::uint32_t kNanPair = 0x7FC07FC0U;

// E4M3 of the quotient, as a number.
__device__ __forceinline__ float round_to_e4m3(float value, float scale) {
  const float quotient = rounded_quotient(value, scale);
  const float magnitude = round_to_step(smaller(fabsf(quotient), kE4m3Max), 0x1p-6F, 0x1.8p20F);
  return copysignf(magnitude, quotient);
}

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
