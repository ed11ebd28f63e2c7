#include "checkpoint/dequantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "checkpoint/scale_values.h"
#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "formats/fp16.h"
#include "formats/nvfp4_block.h"

namespace nvfp4::checkpoint {
namespace {

std::span<const std::uint8_t> as_u8(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

template <class T>
T load(std::span<const std::uint8_t> bytes, std::uint64_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

// One element of a plain tensor as float32; FP64 and integers are rounded to nearest.
float plain_element(DType dtype, std::span<const std::uint8_t> bytes, std::uint64_t i) {
  switch (dtype) {
    case DType::kF32:
      return load<float>(bytes, i);
    case DType::kBF16:
      return decode_bf16(load<std::uint16_t>(bytes, i));
    case DType::kF16:
      return decode_fp16(load<std::uint16_t>(bytes, i));
    case DType::kF64:
      return static_cast<float>(load<double>(bytes, i));
    case DType::kI64:
      return static_cast<float>(load<std::int64_t>(bytes, i));
    case DType::kU64:
      return static_cast<float>(load<std::uint64_t>(bytes, i));
    case DType::kI32:
      return static_cast<float>(load<std::int32_t>(bytes, i));
    case DType::kU32:
      return static_cast<float>(load<std::uint32_t>(bytes, i));
    case DType::kI16:
      return static_cast<float>(load<std::int16_t>(bytes, i));
    case DType::kU16:
      return static_cast<float>(load<std::uint16_t>(bytes, i));
    case DType::kI8:
      return static_cast<float>(load<std::int8_t>(bytes, i));
    case DType::kBool:
    case DType::kU8:
      return static_cast<float>(bytes[i]);
    default:
      return 0;
  }
}

// The types that plain_element() knows.
bool plain_is_readable(DType dtype) {
  constexpr std::array kReadable{DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI64,
                                 DType::kU64, DType::kI32,  DType::kU32, DType::kI16, DType::kU16,
                                 DType::kI8,  DType::kBool, DType::kU8};
  return std::find(kReadable.begin(), kReadable.end(), dtype) != kReadable.end();
}

// The stored second-level scale of a row that counts through all experts.
float scale2_of_row(const DescribedTensor& weight, std::uint64_t row) {
  const std::uint64_t n = weight.out_features();
  std::uint64_t rest = row % n;
  std::uint64_t shard = 0;
  while (rest >= weight.shard_rows[shard]) rest -= weight.shard_rows[shard++];
  return weight.stored_scale2[row / n * weight.shard_rows.size() + shard];
}

bool reads_as_zeros(const DescribedTensor& weight, float stored_scale2) {
  return judge_scale2(stored_scale2, weight.convention).repaired;
}

void nvfp4_row(const DescribedTensor& weight, std::span<const std::uint8_t> codes, std::span<const std::uint8_t> scales,
               std::uint64_t row, std::span<float> out) {
  const std::uint64_t k = weight.in_features();
  const float scale2 = scale2_of_row(weight, row);
  if (reads_as_zeros(weight, scale2)) {
    std::fill(out.begin(), out.end(), 0.0F);
  } else if (!weight.transposed) {
    const std::uint64_t blocks = k / weight.block_size;
    dequantize_row(codes.subspan(row * (k / 2), k / 2), scales.subspan(row * blocks, blocks), weight.block_size, scale2,
                   weight.convention, out);
  } else {
    // Stored [E, K/2, N] and [E, K/block, N].
    const std::uint64_t n = weight.out_features();
    const std::uint64_t expert = row / n;
    const std::uint64_t column = row % n;
    for (std::uint64_t i = 0; i < k; ++i) {
      const std::uint8_t byte = codes[(expert * (k / 2) + i / 2) * n + column];
      const std::uint8_t scale = scales[(expert * (k / weight.block_size) + i / weight.block_size) * n + column];
      out[i] = decode_nvfp4(i % 2 == 0 ? byte & 15U : byte >> 4U, block_multiplier(scale, scale2, weight.convention),
                            weight.convention);
    }
  }
}

}  // namespace

Status dequantize_rows(const TensorFiles& files, const DescribedTensor& weight, std::uint64_t row_begin,
                       std::uint64_t row_end, std::span<float> out) {
  const std::uint64_t k = weight.in_features();
  const std::uint64_t rows = k == 0 ? 0 : weight.num_elements() / k;
  if (row_begin > row_end || row_end > rows || out.size() != (row_end - row_begin) * k) {
    return Error{ErrorCode::kInvalidArgument, where(files, *weight.data),
                 fmt::format("rows {}..{} of {} do not exist", row_begin, row_end, rows)};
  }
  if (!weight.is_quantized() && !plain_is_readable(weight.dtype)) {
    return Error{ErrorCode::kUnsupported, where(files, *weight.data),
                 fmt::format("{} elements cannot be read as float32", dtype_name(weight.dtype))};
  }
  auto data = files.bytes(*weight.data);
  if (!data) return std::move(data).error();
  const auto codes = as_u8(data->data);
  TensorBytes scale_bytes;
  if (const StoredTensor* tensor = weight.block_scales != nullptr ? weight.block_scales : weight.row_scales) {
    auto bytes = files.bytes(*tensor);
    if (!bytes) return std::move(bytes).error();
    scale_bytes = std::move(bytes).value();
  }
  const auto scales = as_u8(scale_bytes.data);
  for (std::uint64_t row = row_begin; row < row_end; ++row) {
    const std::span<float> out_row = out.subspan((row - row_begin) * k, k);
    if (weight.scheme == Scheme::kFp8) {
      const float scale =
          weight.per_row_scale ? plain_element(weight.row_scales->dtype, scales, row) : scale2_of_row(weight, row);
      for (std::uint64_t i = 0; i < k; ++i) out_row[i] = decode_e4m3(codes[row * k + i]) * scale;
    } else if (weight.is_quantized()) {
      nvfp4_row(weight, codes, scales, row, out_row);
    } else {
      for (std::uint64_t i = 0; i < k; ++i) out_row[i] = plain_element(weight.dtype, codes, row * k + i);
    }
  }
  return files.verify();
}

}  // namespace nvfp4::checkpoint
