#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_shared/quantize_activations_rows.cuh"
#include "kernels/cuda_shared/round_octets.cuh"
#include "kernels/cuda_shared/shared_carveout.h"

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

__device__ __forceinline__ void take_turn(const QuantizeActivations& q) {
  if (!q.next_reads_earlier) let_next_kernel_start();
  wait_for_earlier_kernels();
  if (q.next_reads_earlier) let_next_kernel_start();
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
  take_turn(q);
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

// 8 numbers of a row.
__device__ __forceinline__ void load_octet(const QuantizeActivations& q, const Source& source, std::uint32_t k,
                                           OctetWords& octet) {
  octet.load(q.x + std::size_t{source.token} * q.in_features + k);
}
__device__ __forceinline__ void load_octet(const QuantizeActivations& q, const Source& source, std::uint32_t k,
                                           OctetFloats& octet) {
  OctetWords plain;
  load_octet(q, source, k, plain);
  const float weight = q.router_weights == nullptr ? 1.0F : q.router_weights[source.pair];
#pragma unroll
  for (std::uint32_t i = 0; i < kOctet; ++i) {
    float value = i % 2 == 0 ? low_bf16(plain.words[i / 2]) : high_bf16(plain.words[i / 2]);
    if (q.pre_quant_scale != nullptr) value = round_to_bf16(rounded_product(value, q.pre_quant_scale[k + i]));
    if (q.router_weights != nullptr) value = rounded_product(value, weight);
    octet.bits[i] = float_bits(value);
  }
}

// To NVFP4.
template <class Octet>
__global__ void __launch_bounds__(512) quantize_few_rows(const __grid_constant__ QuantizeActivations q) {
  const bool is_static = q.activation == Activation::kNvfp4Static;
  const std::uint32_t row_idx = blockIdx.x;
  Source source{static_cast<std::int32_t>(row_idx), row_idx, q.input_scale};
  const bool has_one_scale = q.pair_of_row == nullptr && q.expert_ids == nullptr;
  if (has_one_scale && q.input_scales != nullptr) source.input_scale = q.input_scales[0];
  take_turn(q);
  if (!has_one_scale) source = source_of(q, row_idx);
  if (source.pair < 0) return;
  RowScale row;
  if (is_static) row = RowScale::from_stored(q.rule, source.input_scale);
  const auto load = [&](std::uint32_t col, Octet& octet) { load_octet(q, source, col, octet); };
  round_part_of_row<Octet>(load, q.in_features, is_static, row, q.values + std::size_t{row_idx} * q.in_features,
                           q.row_scale + row_idx);
}

bool is_scaled(const QuantizeActivations& q) { return q.pre_quant_scale != nullptr || q.router_weights != nullptr; }

// Few: what several blocks read of the same rows is little.
bool has_few_rows(const QuantizeActivations& q, const OctetShape& shape) {
  constexpr std::uint32_t kFewRows = 256;
  constexpr std::uint32_t kFewNumbers = 1U << 20U;
  const bool is_nvfp4 = q.activation == Activation::kNvfp4Static || q.activation == Activation::kNvfp4Dynamic;
  return is_nvfp4 && q.num_rows <= kFewRows && q.num_rows * shape.parts * q.in_features <= kFewNumbers;
}

template <std::uint32_t kThreads>
Status launch_rows(const QuantizeActivations& q, DeviceStream stream) {
  constexpr std::uint32_t kRows = kRowsOfBlock<kThreads>;
  const LaunchShape shape{.blocks = (q.num_rows + kRows - 1) / kRows, .num_threads = kThreads * kRows};
  const auto kernel = is_scaled(q) ? quantize_rows<kThreads, ScaledValues> : quantize_rows<kThreads, PlainValues>;
  return launch("quantize activations", kernel, shape, stream, q);
}

}  // namespace

Status let_quantizer_overlap() {
  constexpr const char* kName = "quantize activations";
  NVFP4_RETURN_IF_ERROR(take_all_as_shared_memory(kName, quantize_few_rows<OctetWords>));
  return take_all_as_shared_memory(kName, quantize_few_rows<OctetFloats>);
}

Status quantize_activations(const QuantizeActivations& quantize, DeviceStream stream) {
  const OctetShape octets = OctetShape::of_few_rows(quantize.in_features);
  if (has_few_rows(quantize, octets)) {
    const auto kernel = is_scaled(quantize) ? quantize_few_rows<OctetFloats> : quantize_few_rows<OctetWords>;
    return launch("quantize activations", kernel, octets.launch_shape(quantize.num_rows), stream, quantize);
  }
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
