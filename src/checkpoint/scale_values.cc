#include "checkpoint/scale_values.h"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <cstring>

#include "formats/bf16.h"
#include "formats/fp16.h"

namespace nvfp4::checkpoint {
namespace {

// Neighbours this close are cheaper to read together than one by one.
constexpr std::uint64_t kMaxGapBytes = 16 << 10;
constexpr std::uint64_t kMaxRunBytes = 1 << 20;

void append_values(const StoredTensor& tensor, const std::byte* bytes, std::vector<float>& values) {
  const std::uint64_t n = tensor.num_elements();
  for (std::uint64_t i = 0; i < n; ++i) {
    if (tensor.dtype == DType::kF32) {
      float value = 0;
      std::memcpy(&value, bytes + i * sizeof(float), sizeof(float));
      values.push_back(value);
    } else {
      std::uint16_t bits = 0;
      std::memcpy(&bits, bytes + i * sizeof(bits), sizeof(bits));
      values.push_back(tensor.dtype == DType::kBF16 ? decode_bf16(bits) : decode_fp16(bits));
    }
  }
}

}  // namespace

std::string where(const TensorFiles& files, const StoredTensor& tensor) {
  return fmt::format("{}: tensor \"{}\"", files.files()[tensor.file_idx].path.string(), tensor.name);
}

Status ScaleValues::want(const TensorFiles& files, const StoredTensor& tensor) {
  if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kBF16 && tensor.dtype != DType::kF16) {
    return Error{ErrorCode::kMalformed, where(files, tensor),
                 fmt::format("a scale must be F32, BF16 or F16, this one is {}", dtype_name(tensor.dtype))};
  }
  if (tensor.num_elements() > kMaxValues) {
    return Error{ErrorCode::kMalformed, where(files, tensor),
                 fmt::format("{} values; a per-tensor scale has one, or one or two per expert", tensor.num_elements())};
  }
  std::atomic_ref(begin_[number(tensor)]).store(kWanted, std::memory_order_relaxed);
  return {};
}

Status ScaleValues::read(const TensorFiles& files) {
  // Tensors come in the order of their bytes, file by file.
  const std::span<const StoredTensor> tensors = files.tensors();
  const auto next_wanted = [&](std::size_t i) {
    while (i < tensors.size() && begin_[i] != kWanted) ++i;
    return i;
  };
  std::vector<std::byte> buffer;
  for (std::size_t first = next_wanted(0); first < tensors.size();) {
    const std::uint64_t begin = tensors[first].begin;
    std::uint64_t end = tensors[first].end;
    std::size_t last = next_wanted(first + 1);
    while (last < tensors.size() && tensors[last].file_idx == tensors[first].file_idx &&
           tensors[last].begin <= end + kMaxGapBytes && tensors[last].end - begin <= kMaxRunBytes) {
      end = tensors[last].end;
      last = next_wanted(last + 1);
    }
    buffer.resize(end - begin);
    NVFP4_RETURN_IF_ERROR(files.read_range(tensors[first].file_idx, begin, buffer));
    for (; first != last; first = next_wanted(first + 1)) {
      begin_[first] = values_.size();
      append_values(tensors[first], buffer.data() + (tensors[first].begin - begin), values_);
    }
  }
  return {};
}

std::span<const float> ScaleValues::of(const StoredTensor& tensor) const {
  return std::span(values_).subspan(begin_[number(tensor)], tensor.num_elements());
}

Scale2Verdict judge_scale2(float stored, ScaleConvention convention) {
  if (std::isnan(stored)) return {0, false, "is NaN"};
  if (std::signbit(stored) && stored != 0) return {0, false, fmt::format("is negative ({})", stored)};
  if (convention == ScaleConvention::kMultiplier) {
    if (std::isinf(stored)) return {0, false, "is infinite"};
    return {stored, stored == 0, ""};
  }
  if (stored == 0) return {0, false, "is zero, and it is a divisor"};
  if (std::isinf(stored)) return {0, true, ""};
  const float multiplier = 1.0F / stored;
  if (std::isinf(multiplier)) return {0, false, fmt::format("is so small ({}) that its reciprocal overflows", stored)};
  return {multiplier, false, ""};
}

std::optional<float> valid_input_scale(float stored, ScaleConvention convention) {
  if (!std::isnormal(stored) || std::signbit(stored)) return std::nullopt;
  const float reciprocal = 1.0F / stored;
  if (!std::isnormal(reciprocal)) return std::nullopt;
  return convention == ScaleConvention::kMultiplier ? stored : reciprocal;
}

}  // namespace nvfp4::checkpoint
