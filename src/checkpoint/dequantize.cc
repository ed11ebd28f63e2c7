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

// Codes and scales of the rows from `first` on; of all rows when the tensor is stored transposed.
struct Rows {
  std::uint64_t first = 0;
  TensorBytes codes;
  TensorBytes scales;  // empty: the weight has no tensor of block or row scales
};

Result<Rows> read_rows(const TensorFiles& files, const DescribedTensor& weight, std::uint64_t row_begin,
                       std::uint64_t row_end, std::uint64_t num_rows) {
  Rows rows{.first = weight.transposed ? 0 : row_begin, .codes = {}, .scales = {}};
  const auto read = [&](const StoredTensor& tensor) {
    if (weight.transposed) return files.bytes(tensor);
    const std::uint64_t row_bytes = tensor.num_bytes() / num_rows;
    return files.bytes(tensor, row_begin * row_bytes, (row_end - row_begin) * row_bytes);
  };
  auto codes = read(*weight.data);
  if (!codes) return std::move(codes).error();
  rows.codes = std::move(codes).value();
  if (const StoredTensor* tensor = weight.block_scales != nullptr ? weight.block_scales : weight.row_scales) {
    auto scales = read(*tensor);
    if (!scales) return std::move(scales).error();
    rows.scales = std::move(scales).value();
  }
  return rows;
}

void nvfp4_row(const DescribedTensor& weight, const Rows& rows, std::uint64_t row, std::span<float> out) {
  const auto codes = as_u8(rows.codes.data);
  const auto scales = as_u8(rows.scales.data);
  const std::uint64_t k = weight.in_features();
  const float scale2 = scale2_of_row(weight, row);
  if (reads_as_zeros(weight, scale2)) {
    std::fill(out.begin(), out.end(), 0.0F);
  } else if (!weight.transposed) {
    const std::uint64_t blocks = k / weight.block_size;
    const std::uint64_t at = row - rows.first;
    dequantize_row(codes.subspan(at * (k / 2), k / 2), scales.subspan(at * blocks, blocks), weight.block_size, scale2,
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
  const std::uint64_t num_rows = k == 0 ? 0 : weight.num_elements() / k;
  if (row_begin > row_end || row_end > num_rows || out.size() != (row_end - row_begin) * k) {
    return Error{ErrorCode::kInvalidArgument, where(files, *weight.data),
                 fmt::format("rows {}..{} of {} do not exist", row_begin, row_end, num_rows)};
  }
  if (!weight.is_quantized() && !plain_is_readable(weight.dtype)) {
    return Error{ErrorCode::kUnsupported, where(files, *weight.data),
                 fmt::format("{} elements cannot be read as float32", dtype_name(weight.dtype))};
  }
  if (row_begin == row_end) return {};
  auto rows = read_rows(files, weight, row_begin, row_end, num_rows);
  if (!rows) return std::move(rows).error();
  const auto codes = as_u8(rows->codes.data);
  for (std::uint64_t row = row_begin; row < row_end; ++row) {
    const std::uint64_t at = row - row_begin;
    const std::span<float> out_row = out.subspan(at * k, k);
    if (weight.scheme == Scheme::kFp8) {
      const float scale = weight.per_row_scale ? plain_element(weight.row_scales->dtype, as_u8(rows->scales.data), at)
                                               : scale2_of_row(weight, row);
      for (std::uint64_t i = 0; i < k; ++i) out_row[i] = decode_e4m3(codes[at * k + i]) * scale;
    } else if (weight.is_quantized()) {
      nvfp4_row(weight, *rows, row, out_row);
    } else {
      for (std::uint64_t i = 0; i < k; ++i) out_row[i] = plain_element(weight.dtype, codes, at * k + i);
    }
  }
  return files.verify();
}

}  // namespace nvfp4::checkpoint
