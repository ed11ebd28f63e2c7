#include "checkpoint/scale_values.h"

#include <fmt/format.h>

#include <algorithm>
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
  wanted_.push_back(&tensor);
  return {};
}

Status ScaleValues::read(const TensorFiles& files) {
  // Tensors of one file are neighbours in memory in the order of the file, mostly: sorting is nearly free.
  std::sort(wanted_.begin(), wanted_.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return a->file_idx != b->file_idx ? a->file_idx < b->file_idx : a->begin < b->begin;
  });
  wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
  ranges_.reserve(wanted_.size());
  std::vector<std::byte> buffer;
  for (std::size_t first = 0; first < wanted_.size();) {
    std::uint64_t end = wanted_[first]->end;
    std::size_t last = first + 1;
    for (; last < wanted_.size(); ++last) {
      const StoredTensor& next = *wanted_[last];
      if (next.file_idx != wanted_[first]->file_idx || next.begin > end + kMaxGapBytes) break;
      if (next.end - wanted_[first]->begin > kMaxRunBytes) break;
      end = next.end;
    }
    const std::uint64_t begin = wanted_[first]->begin;
    buffer.resize(end - begin);
    NVFP4_RETURN_IF_ERROR(files.read_range(wanted_[first]->file_idx, begin, buffer));
    for (; first < last; ++first) {
      const StoredTensor& tensor = *wanted_[first];
      ranges_[&tensor] = {values_.size(), tensor.num_elements()};
      append_values(tensor, buffer.data() + (tensor.begin - begin), values_);
    }
  }
  return {};
}

std::span<const float> ScaleValues::of(const StoredTensor& tensor) const {
  const auto it = ranges_.find(&tensor);
  if (it == ranges_.end()) return {};
  return std::span(values_).subspan(it->second.first, it->second.count);
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
