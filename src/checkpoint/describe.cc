#include "checkpoint/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "base/cpu_topology.h"
#include "base/thread_team.h"
#include "checkpoint/activation_policy.h"
#include "checkpoint/scale_values.h"
#include "checkpoint/stored_weight.h"
#include "checkpoint/tensor_role.h"
#include "checkpoint/weight_scale.h"

namespace nvfp4::checkpoint {
namespace {

bool may_be_quantized(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kF4 || dtype == DType::kF8E4M3 || dtype == DType::kI32 ||
         dtype == DType::kI8;
}

class Describer {
 public:
  Describer(const TensorFiles& files, const QuantizationMap& map, const ModelConfig& model)
      : files_(files), map_(map), model_(model), consumed_(files.tensors().size(), 0), out_(files) {}

  Result<Description> run() {
    out_.conflicts = map_.conflicts;
    NVFP4_RETURN_IF_ERROR(describe_all());
    NVFP4_RETURN_IF_ERROR(out_.scale_values.read(files_));
    NVFP4_RETURN_IF_ERROR(settle_weights());
    NVFP4_RETURN_IF_ERROR(set_kv_scales());
    NVFP4_RETURN_IF_ERROR(list_leftovers());
    return std::move(out_);
  }

 private:
  static constexpr std::size_t kRangeWeights = 1024;

  // Small checkpoints are described before a thread has started.
  [[nodiscard]] std::size_t num_threads() const {
    return files_.tensors().size() < 8192 ? 1 : std::min<std::size_t>(default_num_workers(), 8);
  }

  // By several threads: two weights whose names differ in "_packed" only share companions.
  void consume(const StoredTensor* tensor) {
    if (tensor == nullptr) return;
    std::atomic_ref(consumed_[static_cast<std::size_t>(tensor - files_.tensors().data())])
        .store(1, std::memory_order_relaxed);
  }

  // What to do with a tensor, one byte each; kIgnored is beyond the roles.
  static constexpr auto kIgnored = static_cast<Role>(kNumRoles);

  Status describe_all() {
    find_roles();
    std::vector<std::uint32_t> data;  // numbers of the tensors that are weights
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      const StoredTensor& tensor = files_.tensors()[i];
      if (roles_[i] == Role::kData) {
        data.push_back(static_cast<std::uint32_t>(i));
      } else if (roles_[i] == kIgnored) {
        const auto reason = reason_to_ignore(tensor.name, model_.num_layers, model_.num_nextn_layers);
        out_.ignored.push_back({std::string(tensor.name), std::string(*reason)});
        consume(&tensor);
      } else if (roles_[i] == Role::kKvScale) {
        NVFP4_RETURN_IF_ERROR(out_.scale_values.want(files_, tensor));
        out_.kv_scales.push_back({tensor.name, 1.0F});
        kv_tensors_.push_back(&tensor);
        consume(&tensor);
      }
    }
    return describe_storages(data);
  }

  void find_roles() {
    const std::span<const StoredTensor> tensors = files_.tensors();
    roles_.resize(tensors.size());
    parallel_ranges(tensors.size(), num_threads(), [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const bool ignored = reason_to_ignore(tensors[i].name, model_.num_layers, model_.num_nextn_layers).has_value();
        roles_[i] = ignored ? kIgnored : tensor_role(tensors[i].name).role;
      }
    });
  }

  // Scheme, shape and companions of each weight. The first error in the order of the files counts.
  Status describe_storages(const std::vector<std::uint32_t>& data) {
    CompanionFinder prototype(files_);
    for (const Role role : roles_) {
      if (role != kIgnored) prototype.note(role);
    }
    out_.weights.resize(data.size());
    std::vector<Status> statuses(data.size() / kRangeWeights + 1);
    std::mutex arenas;
    parallel_ranges(statuses.size(), num_threads(), [&](std::size_t first, std::size_t last) {
      CompanionFinder companions = prototype;
      Arena arena;
      for (std::size_t range = first; range < last; ++range) {
        const std::size_t end = std::min(data.size(), (range + 1) * kRangeWeights);
        for (std::size_t i = range * kRangeWeights; i < end && statuses[range].ok(); ++i) {
          statuses[range] = describe_one(files_.tensors()[data[i]], companions, arena, out_.weights[i]);
        }
      }
      const std::lock_guard lock(arenas);
      out_.arena.adopt(std::move(arena));
    });
    for (Status& status : statuses) NVFP4_RETURN_IF_ERROR(std::move(status));
    return {};
  }

  Status describe_one(const StoredTensor& tensor, CompanionFinder& companions, Arena& arena, DescribedTensor& weight) {
    const TensorRole role = tensor_role(tensor.name);
    const StoredWeight stored =
        may_be_quantized(tensor.dtype) ? companions.find(tensor, role) : StoredWeight{.data = &tensor, .role = role};
    NVFP4_RETURN_IF_ERROR(describe_storage(files_, stored, arena, weight));
    return take_companions(weight);
  }

  Status take_companions(const DescribedTensor& weight) {
    for (const StoredTensor* used : {weight.data, weight.block_scales, weight.row_scales, weight.scale2_tensor,
                                     weight.input_scale_tensor, weight.pre_quant_scale}) {
      consume(used);
    }
    if (weight.scale2_tensor != nullptr) NVFP4_RETURN_IF_ERROR(out_.scale_values.want(files_, *weight.scale2_tensor));
    if (weight.input_scale_tensor != nullptr)
      NVFP4_RETURN_IF_ERROR(out_.scale_values.want(files_, *weight.input_scale_tensor));
    if (weight.pre_quant_scale != nullptr && weight.pre_quant_scale->num_elements() != weight.in_features()) {
      return Error{
          ErrorCode::kMalformed, where(files_, *weight.pre_quant_scale),
          fmt::format("{} values for {} input features", weight.pre_quant_scale->num_elements(), weight.in_features())};
    }
    return {};
  }

  // Scales, then activations, for weights in any order: nothing here depends on another weight but the policy's groups.
  Status settle_weights() {
    const ActivationPolicy policy(files_, map_, out_.scale_values, out_.weights);
    const std::size_t num_ranges = out_.weights.size() / kRangeWeights + 1;
    std::vector<DescriptionPart> parts(num_ranges);
    std::vector<Status> statuses(num_ranges);
    parallel_ranges(num_ranges, num_threads(), [&](std::size_t first, std::size_t last) {
      for (std::size_t range = first; range < last; ++range) {
        const std::size_t end = std::min(out_.weights.size(), (range + 1) * kRangeWeights);
        for (std::size_t i = range * kRangeWeights; i < end && statuses[range].ok(); ++i) {
          statuses[range] = settle_weight(policy, out_.weights[i], parts[range]);
        }
      }
    });
    for (std::size_t range = 0; range < num_ranges; ++range) {
      NVFP4_RETURN_IF_ERROR(std::move(statuses[range]));
      out_.append(std::move(parts[range]));
    }
    return {};
  }

  Status settle_weight(const ActivationPolicy& policy, DescribedTensor& weight, DescriptionPart& out) const {
    if (weight.is_quantized()) NVFP4_RETURN_IF_ERROR(set_weight_scale(files_, model_, out_.scale_values, weight, out));
    NVFP4_RETURN_IF_ERROR(check_against_config(weight));
    return policy.decide(weight, out);
  }

  Status set_kv_scales() {
    for (std::size_t i = 0; i < kv_tensors_.size(); ++i) {
      const std::span<const float> value = out_.scale_values.of(*kv_tensors_[i]);
      if (value.size() != 1 || !(value[0] > 0) || !std::isfinite(value[0])) {
        return Error{ErrorCode::kMalformed, where(files_, *kv_tensors_[i]),
                     value.size() == 1 ? fmt::format("{} is no scale for the key-value cache", value[0])
                                       : fmt::format("{} values; one scale per layer is read", value.size())};
      }
      out_.kv_scales[i].scale = value[0];
    }
    if (map_.kv_cache_scheme == "fp8" && kv_tensors_.empty()) {
      out_.conflicts.push_back(
          {"kv_cache_scheme", "fp8 is declared, but there are no k_scale or v_scale tensors; 1.0 is used"});
    }
    return {};
  }

  // What config.json says about shapes that no reading of the tensors can turn into another.
  Status check_against_config(const DescribedTensor& weight) const {
    const bool embedding = weight.name.ends_with("embed_tokens.weight") || weight.name.ends_with("lm_head.weight");
    if (!embedding || weight.shape.size() != 2) return {};
    const bool wrong_k = model_.hidden_size != 0 && weight.shape[1] != model_.hidden_size;
    const bool wrong_n = model_.vocab_size != 0 && weight.shape[0] < model_.vocab_size;  // rows may be padded
    if (!wrong_k && !wrong_n) return {};
    return Error{ErrorCode::kContradiction, where(files_, *weight.data),
                 fmt::format("shape [{}, {}], but config.json has vocab_size = {} and hidden_size = {}",
                             weight.shape[0], weight.shape[1], model_.vocab_size, model_.hidden_size)};
  }

  // Companions that no described weight uses: of a plain weight, or of a weight that is not there.
  Status list_leftovers() {
    for (std::size_t i = 0; i < consumed_.size(); ++i) {
      if (consumed_[i]) continue;
      const StoredTensor& tensor = files_.tensors()[i];
      const TensorRole role = tensor_role(tensor.name);
      const bool has_weight = files_.find(companion_name(role, "weight")) != nullptr ||
                              files_.find(companion_name(role, "weight_packed")) != nullptr ||
                              (!role.stem.empty() && files_.find(module_name(tensor.name, role)) != nullptr);
      const bool belongs_to_weight =
          role.role == Role::kWeightScale || role.role == Role::kWeightScale2 || role.role == Role::kWeightGlobalScale;
      if (!has_weight && belongs_to_weight) {
        return Error{
            ErrorCode::kNotFound, where(files_, tensor),
            fmt::format("the weight \"{}\" that it scales is not in the checkpoint", companion_name(role, "weight"))};
      }
      if (belongs_to_weight)
        out_.conflicts.push_back(
            {std::string(tensor.name), "scales a weight that is stored unquantised; the scale is not used"});
      out_.ignored.push_back({std::string(tensor.name), "a companion that its weight, as stored, does not use"});
    }
    for (const Finding& finding : files_.ignored()) out_.ignored.push_back(finding);
    out_.conflicts.insert(out_.conflicts.end(), files_.conflicts().begin(), files_.conflicts().end());
    return {};
  }

  const TensorFiles& files_;
  const QuantizationMap& map_;
  const ModelConfig& model_;
  std::vector<std::uint8_t> consumed_;  // [tensors] 1: belongs to a weight, or is listed
  std::vector<const StoredTensor*> kv_tensors_;
  std::vector<Role> roles_;  // [tensors]
  Description out_;
};

}  // namespace

Result<Description> describe(const TensorFiles& files, const QuantizationMap& map, const ModelConfig& model) {
  return Describer(files, map, model).run();
}

}  // namespace nvfp4::checkpoint
