#include "checkpoint/activation_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "checkpoint/tensor_role.h"

namespace nvfp4::checkpoint {
namespace {

constexpr std::string_view kInputScaleFound = "the file has an input scale";
constexpr std::string_view kNoInputScale = "the file has no input scale";

ModuleClass class_of(std::string_view module) {
  const std::size_t dot = module.rfind('.');
  const std::string_view leaf = dot == std::string_view::npos ? module : module.substr(dot + 1);
  constexpr std::array<std::string_view, 6> kEmbeddings{"embed_tokens",    "embeddings",     "wte",
                                                        "word_embeddings", "tok_embeddings", "embed_in"};
  return std::find(kEmbeddings.begin(), kEmbeddings.end(), leaf) != kEmbeddings.end() ? ModuleClass::kEmbedding
                                                                                      : ModuleClass::kLinear;
}

std::string_view module_of(const DescribedTensor& weight) {
  const std::string_view name = weight.name;
  return name.ends_with(".weight") ? name.substr(0, name.size() - 7) : name;
}

// A linear layer by its name: what a declaration for "Linear" surely means.
bool is_projection(std::string_view module) {
  const std::size_t dot = module.rfind('.');
  const std::string_view leaf = dot == std::string_view::npos ? module : module.substr(dot + 1);
  return leaf.ends_with("_proj") || leaf == "lm_head";
}

void conflict(DescriptionPart& out, const DescribedTensor& weight, std::string message) {
  out.conflicts.push_back({std::string(weight.name), std::move(message)});
}

void ignore_input_scale(const DescribedTensor& weight, DescriptionPart& out) {
  if (weight.input_scale_tensor == nullptr) return;
  out.ignored.push_back(
      {std::string(weight.input_scale_tensor->name), "activations stay 16-bit, so the input scale has no use"});
}

}  // namespace

ActivationPolicy::ActivationPolicy(const TensorFiles& files, const QuantizationMap& map, const ScaleValues& values,
                                   std::span<const DescribedTensor> weights)
    : files_(files), map_(map), values_(values) {
  const auto is_nvfp4 = [](const DeclaredScheme& s) { return s.weights == DeclaredWeights::kNvfp4; };
  const auto is_weight_only = [](const DeclaredScheme& s) { return s.activation == Activation::k16Bit; };
  weight_only_model_ = std::any_of(map.schemes.begin(), map.schemes.end(), is_nvfp4) &&
                       std::all_of(map.schemes.begin(), map.schemes.end(),
                                   [&](const auto& s) { return !is_nvfp4(s) || is_weight_only(s); });
  find_group_scales(weights);
}

Status ActivationPolicy::decide(DescribedTensor& weight, DescriptionPart& out) const {
  const DeclaredScheme* declared = nullptr;
  if (map_.declared && (weight.is_quantized() || is_projection(module_of(weight)))) {
    declared = map_.resolve(module_of(weight), class_of(module_of(weight)));
  }
  if (!weight.is_quantized()) {
    if (declared != nullptr && weight.shape.size() >= 2) {
      conflict(out, weight, fmt::format("stored as {}, but {}", scheme_name(weight), declared->evidence));
    }
    return {};
  }
  if (declared != nullptr && declared->weights == DeclaredWeights::kUnsupported) {
    return Error{ErrorCode::kUnsupported, where(files_, *weight.data),
                 declared->evidence + "; this library reads NVFP4, FP8 and plain weights"};
  }
  return weight.scheme == Scheme::kFp8 ? decide_fp8(weight, declared, out) : decide_nvfp4(weight, declared, out);
}

bool ActivationPolicy::all_usable(const DescribedTensor& weight) const {
  for (float stored : values_.of(*weight.input_scale_tensor)) {
    if (!valid_input_scale(stored, weight.convention)) return false;
  }
  return true;
}

// Largest usable input scale of each group of experts. Only collected when some weight may have to take it.
void ActivationPolicy::find_group_scales(std::span<const DescribedTensor> weights) {
  bool wanted = false;
  for (const DescribedTensor& weight : weights) {
    wanted |= weight.is_quantized() && (weight.input_scale_tensor == nullptr || !all_usable(weight));
  }
  for (const DescribedTensor& weight : weights) {
    if (!wanted || weight.input_scale_tensor == nullptr) continue;
    const auto group = expert_group(weight.name);
    if (!group) continue;
    float& largest = group_scale_[*group];
    for (float stored : values_.of(*weight.input_scale_tensor)) {
      if (auto scale = valid_input_scale(stored, weight.convention)) largest = std::max(largest, *scale);
    }
  }
}

// 0 when the weight is in no group of experts that has a usable input scale.
float ActivationPolicy::group_scale(const DescribedTensor& weight) const {
  if (group_scale_.empty()) return 0;
  const auto group = expert_group(weight.name);
  if (!group) return 0;
  const auto it = group_scale_.find(*group);
  return it == group_scale_.end() ? 0 : it->second;
}

bool ActivationPolicy::has_input_scale(const DescribedTensor& weight) const {
  return weight.input_scale_tensor != nullptr || group_scale(weight) > 0;
}

Status ActivationPolicy::decide_nvfp4(DescribedTensor& weight, const DeclaredScheme* declared,
                                      DescriptionPart& out) const {
  const bool has_scale = has_input_scale(weight);
  if (map_.undecided_activation && has_scale) {
    Error error = *map_.undecided_activation;
    error.message += fmt::format(" (first met at \"{}\")", weight.name);
    return error;
  }
  weight.activation_evidence = has_scale ? kInputScaleFound : kNoInputScale;
  if (declared != nullptr && declared->weights == DeclaredWeights::kNvfp4) {
    if (declared->block_size != 0 && declared->block_size != weight.block_size) {
      conflict(out, weight,
               fmt::format("blocks of {} in the file, but {} with group_size {}", weight.block_size, declared->evidence,
                           declared->block_size));
    }
    weight.activation = declared->activation;
    if (weight.activation == Activation::kNvfp4Static && !has_scale) {
      conflict(out, weight,
               fmt::format("{}, but the file has no input scale: read as weight-only", declared->evidence));
      weight.activation = Activation::k16Bit;
    } else if (weight.activation == Activation::kNvfp4Dynamic && has_scale) {
      conflict(out, weight,
               fmt::format("{}, but the file has a static input scale, which is used", declared->evidence));
      weight.activation = Activation::kNvfp4Static;
    } else {
      weight.activation_evidence = declared->evidence;
    }
  } else {
    const std::string_view claim = declared != nullptr ? std::string_view(declared->evidence)
                                   : map_.declared     ? std::string_view("the configuration leaves it unquantised")
                                                       : std::string_view("no configuration declares a scheme");
    conflict(out, weight, fmt::format("stored as NVFP4, but {}", claim));
    weight.activation = has_scale && !weight_only_model_ ? Activation::kNvfp4Static : Activation::k16Bit;
  }
  if (weight.activation == Activation::k16Bit) {
    ignore_input_scale(weight, out);
    return {};
  }
  weight.scheme = Scheme::kNvfp4W4A4;
  return weight.activation == Activation::kNvfp4Static ? set_input_scale(weight, out) : Status();
}

Status ActivationPolicy::decide_fp8(DescribedTensor& weight, const DeclaredScheme* declared,
                                    DescriptionPart& out) const {
  const bool has_scale = has_input_scale(weight);
  weight.activation_evidence = has_scale ? kInputScaleFound : kNoInputScale;
  const bool declared_fp8 = declared != nullptr && declared->weights != DeclaredWeights::kNvfp4;
  if (!declared_fp8) {
    conflict(out, weight,
             fmt::format("stored as FP8, but {}",
                         declared != nullptr ? declared->evidence : "the configuration leaves it unquantised"));
    weight.activation = has_scale ? Activation::kFp8Static : Activation::k16Bit;
  } else {
    weight.activation = declared->activation;
    if (weight.activation == Activation::kFp8Static && !has_scale) {
      conflict(out, weight,
               fmt::format("{}, but the file has no input scale: read as weight-only", declared->evidence));
      weight.activation = Activation::k16Bit;
    } else {
      weight.activation_evidence = declared->evidence;
    }
  }
  if (weight.activation == Activation::kFp8Static) return set_input_scale(weight, out);
  ignore_input_scale(weight, out);
  return {};
}

Status ActivationPolicy::set_input_scale(DescribedTensor& weight, DescriptionPart& out) const {
  const float fallback = group_scale(weight);
  if (weight.input_scale_tensor == nullptr) {
    weight.input_scale = out.arena.copy(std::span<const float>(&fallback, 1));
    out.repairs.push_back(
        {std::string(weight.name),
         fmt::format("has no input scale; {} is used, the largest of the layer's other experts", fallback)});
    return {};
  }
  const std::span<const float> stored = values_.of(*weight.input_scale_tensor);
  const std::uint64_t experts = weight.num_experts();
  if (stored.empty() || (stored.size() != 1 && stored.size() % experts != 0)) {
    return Error{ErrorCode::kMalformed, where(files_, *weight.input_scale_tensor),
                 fmt::format("{} values for {} experts", stored.size(), experts)};
  }
  // Shards of one matrix multiply the same input: one scale per expert, the largest.
  const std::size_t per_expert = stored.size() == 1 ? 1 : stored.size() / experts;
  const std::span<float> scales = out.arena.allocate<float>(stored.size() / per_expert);
  float largest = fallback;
  for (std::size_t e = 0; e < scales.size(); ++e) {
    scales[e] = 0;
    for (float value : stored.subspan(e * per_expert, per_expert))
      scales[e] = std::max(scales[e], valid_input_scale(value, weight.convention).value_or(0));
    largest = std::max(largest, scales[e]);
  }
  for (std::size_t e = 0; e < scales.size(); ++e) {
    if (scales[e] > 0) continue;
    if (largest == 0) {
      return Error{
          ErrorCode::kMalformed, where(files_, *weight.input_scale_tensor),
          fmt::format("{} is no usable input scale, and no other expert has one to take; calibrate and export again",
                      stored[e * per_expert])};
    }
    scales[e] = largest;
    out.repairs.push_back({std::string(weight.input_scale_tensor->name),
                           fmt::format("value {} is {}; {} is used, the largest of the layer's other experts", e,
                                       stored[e * per_expert], largest)});
  }
  weight.input_scale = scales;
  return {};
}

}  // namespace nvfp4::checkpoint
