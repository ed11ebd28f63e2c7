// Reads the small FP32 (BF16, FP16) scale tensors of a checkpoint, and holds the rules for values that are no scale.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

// Collects scale tensors, reads neighbours of a file with one system call, and keeps the values.
class ScaleValues {
 public:
  explicit ScaleValues(const TensorFiles& files)
      : first_tensor_(files.tensors().data()), begin_(files.tensors().size(), kNotWanted) {}

  // At most this many values in one scale tensor that is read at open: [experts, 2] of the largest models.
  static constexpr std::uint64_t kMaxValues = 1 << 16;

  // An Error when the tensor is not a small array of F32, BF16 or F16. May be called by several threads at once.
  [[nodiscard]] Status want(const TensorFiles& files, const StoredTensor& tensor);
  [[nodiscard]] Status read(const TensorFiles& files);
  // The values of a tensor that was wanted, row-major.
  [[nodiscard]] std::span<const float> of(const StoredTensor& tensor) const;

 private:
  static constexpr std::size_t kNotWanted = ~std::size_t{0};
  static constexpr std::size_t kWanted = kNotWanted - 1;

  [[nodiscard]] std::size_t number(const StoredTensor& tensor) const {
    return static_cast<std::size_t>(&tensor - first_tensor_);
  }

  const StoredTensor* first_tensor_ = nullptr;
  std::vector<std::size_t> begin_;  // [tensors]: where the values of a tensor begin in values_
  std::vector<float> values_;
};

// "file: tensor \"name\"", for Error::where.
[[nodiscard]] std::string where(const TensorFiles& files, const StoredTensor& tensor);

// What to do with one stored second-level scale of a weight.
struct Scale2Verdict {
  float multiplier = 0.0F;
  bool repaired = false;  // the stored value stands for an all-zero weight: multiplier is 0
  std::string problem;    // not empty: the value cannot be a scale
};
[[nodiscard]] Scale2Verdict judge_scale2(float stored, ScaleConvention convention);

// The multiplier of a stored input scale; nothing when it is zero, subnormal, negative, infinite or NaN, or when its
// reciprocal is not a normal number.
[[nodiscard]] std::optional<float> valid_input_scale(float stored, ScaleConvention convention);

}  // namespace nvfp4::checkpoint
