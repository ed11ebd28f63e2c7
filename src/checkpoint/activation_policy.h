// Decides what happens to the input of each quantised weight, and repairs input scales that calibration left unusable.
//
//   1. An input scale is usable when it and its reciprocal are positive normal numbers.
//   2. An expert whose input scale is missing or unusable takes the largest usable one of the same projection in its
//      layer. Outside of experts, or when no expert has one, an unusable input scale is an error.
//   3. Declared weight-only: 16-bit, and an input scale in the file is ignored. Declared W4A4 without any input scale:
//      weight-only. Not declared: an input scale means W4A4. Everything but the first is listed as a conflict.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "checkpoint/description_part.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/scale_values.h"
#include "checkpoint/tensor_files.h"
#include "checkpoint/tensor_role.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

class ActivationPolicy {
 public:
  // Looks at the input scales of all weights; keeps views of their names.
  ActivationPolicy(const TensorFiles& files, const QuantizationMap& map, const ScaleValues& values,
                   std::span<const DescribedTensor> weights);

  // Sets activation, evidence, scheme and input_scale of a weight.
  [[nodiscard]] Status decide(DescribedTensor& weight, DescriptionPart& out) const;

 private:
  struct GroupHash {
    std::size_t operator()(const ExpertGroup& group) const {
      return std::hash<std::string_view>{}(group.prefix) * 31 + std::hash<std::string_view>{}(group.suffix);
    }
  };

  [[nodiscard]] bool all_usable(const DescribedTensor& weight) const;
  void find_group_scales(std::span<const DescribedTensor> weights);
  [[nodiscard]] float group_scale(const DescribedTensor& weight) const;
  [[nodiscard]] bool has_input_scale(const DescribedTensor& weight) const;
  [[nodiscard]] Status decide_nvfp4(DescribedTensor& weight, const DeclaredScheme* declared,
                                    DescriptionPart& out) const;
  [[nodiscard]] Status decide_fp8(DescribedTensor& weight, const DeclaredScheme* declared, DescriptionPart& out) const;
  [[nodiscard]] Status set_input_scale(DescribedTensor& weight, DescriptionPart& out) const;

  const TensorFiles& files_;
  const QuantizationMap& map_;
  const ScaleValues& values_;
  std::unordered_map<ExpertGroup, float, GroupHash> group_scale_;
  bool weight_only_model_ = false;  // every declared NVFP4 scheme is weight-only
};

}  // namespace nvfp4::checkpoint
