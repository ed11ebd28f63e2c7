// A row by the threads of a warp or of a block, a block of 16 numbers at a time by each of them: first the largest
// magnitude of the row, then its codes. Numbers are read twice, the second time from a cache. Bound: memory.
#include "kernels/cuda_shared/dependent_launch.cuh"
#include "kernels/cuda_shared/ptx/words.cuh"
#include "kernels/cuda_shared/quantize_activations_rows.cuh"
#include "kernels/cuda_shared/quantize_codes.h"
#include "layouts/quantized_rows_256.h"

namespace nvfp4::kernels {
namespace {

using Layout = QuantizedRows256;

// 16 numbers of a row that are float32 already.
struct FloatValues {
  float values[kQuantizedBlock];

  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (std::uint32_t i = 0; i < kQuantizedBlock; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + i);
      values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t largest() const {
    std::uint32_t bits = 0;
#pragma unroll
    for (const float value : values) bits = max(bits, __float_as_uint(value) & kFloatMagnitudeMask);
    return bits;
  }
  [[nodiscard]] __device__ __forceinline__ float value(std::uint32_t i) const { return values[i]; }
};

template <class Values>
__device__ __forceinline__ void load_values(const QuantizeCodes& q, const Source& source, std::uint32_t /*row*/,
                                            std::uint32_t k, Values& values) {
  values.load(q.rows, source, k);
}
__device__ __forceinline__ void load_values(const QuantizeCodes& q, const Source& /*source*/, std::uint32_t row,
                                            std::uint32_t k, FloatValues& values) {
  values.load(q.f32 + std::size_t{row} * q.rows.in_features + k);
}

template <class Values>
__device__ __forceinline__ uint2 codes_of(const Values& values, const BlockScale& scale) {
  std::uint32_t words[2] = {0, 0};
#pragma unroll
  for (std::uint32_t i = 0; i < kQuantizedBlock; i += 2) {
    words[i / 8] |= encode_e2m1_pair(scale.code_source(values.value(i)), scale.code_source(values.value(i + 1)))
                    << i % 8 * 4;
  }
  return {words[0], words[1]};
}

template <std::uint32_t kThreads>
constexpr std::uint32_t kRowsOfBlock = kThreads == 32 ? 4 : 1;

template <std::uint32_t kThreads, class Values>
__global__ void __launch_bounds__(kThreads* kRowsOfBlock<kThreads>) quantize_to_codes(const QuantizeCodes q) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const std::uint32_t row_idx = blockIdx.x * kRowsOfBlock<kThreads> + threadIdx.x / kThreads;
  const std::uint32_t first = threadIdx.x % kThreads * kQuantizedBlock;
  constexpr std::uint32_t kStep = kThreads * kQuantizedBlock;
  if (row_idx >= q.rows.num_rows) return;
  const Source source = source_of(q.rows, row_idx);
  if (source.pair < 0) return;

  std::uint32_t largest = 0;
  for (std::uint32_t k = first; k < q.rows.in_features; k += kStep) {
    Values values;
    load_values(q, source, row_idx, k, values);
    largest = max(largest, values.largest());
  }
  largest = largest_of_row<kThreads>(largest);
  const bool is_finite = largest < kFloatInfinityBits;
  const RowScale row = q.rows.activation == Activation::kNvfp4Static
                           ? RowScale::from_stored(q.rows.rule, source.input_scale)
                           : RowScale::from_largest(__uint_as_float(largest));
  if (first == 0) q.rows.row_scale[row_idx] = is_finite ? row.multiplier() : __uint_as_float(0x7FC00000U);

  const std::uint32_t padded = (q.rows.in_features + Layout::kGrainCols - 1) / Layout::kGrainCols * Layout::kGrainCols;
  for (std::uint32_t k = first; k < padded; k += kStep) {
    uint2 codes = {0, 0};
    std::uint32_t scale_code = 0;
    if (k < q.rows.in_features && is_finite) {
      Values values;
      load_values(q, source, row_idx, k, values);
      const BlockScale scale = BlockScale::from_largest(row, __uint_as_float(values.largest()));
      scale_code = scale.scale_code();
      if (scale_code != 0) codes = codes_of(values, scale);
    }
    *reinterpret_cast<uint2*>(q.codes + Layout::code_offset(q.code_rows, row_idx, k)) = codes;
    q.codes[Layout::scale_offset(q.code_rows, row_idx, k)] = static_cast<std::uint8_t>(scale_code);
  }
}

template <std::uint32_t kThreads>
Status launch_rows(const QuantizeCodes& q, DeviceStream stream) {
  constexpr std::uint32_t kRows = kRowsOfBlock<kThreads>;
  const LaunchShape shape{.blocks = (q.rows.num_rows + kRows - 1) / kRows, .num_threads = kThreads * kRows};
  const bool is_scaled = q.rows.pre_quant_scale != nullptr || q.rows.router_weights != nullptr;
  const auto kernel = q.f32 != nullptr ? quantize_to_codes<kThreads, FloatValues>
                      : is_scaled      ? quantize_to_codes<kThreads, ScaledValues>
                                       : quantize_to_codes<kThreads, PlainValues>;
  return launch("quantize activations", kernel, shape, stream, q);
}

}  // namespace

Status quantize_codes(const QuantizeCodes& quantize, DeviceStream stream) {
  // A warp where rows are short, or many.
  constexpr std::uint32_t kShortRow = 1024;
  constexpr std::uint32_t kManyRows = 1024;
  if (quantize.rows.in_features <= kShortRow || quantize.rows.num_rows > kManyRows)
    return launch_rows<32>(quantize, stream);
  return launch_rows<256>(quantize, stream);
}

}  // namespace nvfp4::kernels
