#include "checkpoint/health_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nvfp4::checkpoint {
namespace {

// "model.layers.3.mlp.experts.17.up_proj" -> "model.layers.*.mlp.experts.*.up_proj".
std::string folded(std::string_view name) {
  std::string out;
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view part = name.substr(0, dot);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    out += number ? std::string_view("*") : part;
    if (dot == std::string_view::npos) return out;
    out += '.';
    name.remove_prefix(dot + 1);
  }
}

// "[3, 17]": where element `idx` is in a row-major tensor.
std::string position(std::span<const std::uint64_t> shape, std::uint64_t idx) {
  std::vector<std::uint64_t> at(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; idx /= shape[i]) at[i] = idx % shape[i];
  return fmt::format("[{}]", fmt::join(at, ", "));
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return fmt::format("{:.3g} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

bool exceeds(std::uint64_t part, std::uint64_t whole, double share) {
  return static_cast<double>(part) > share * static_cast<double>(whole);
}

// "model.layers.0.self_attn.q_proj.weight" -> {"model.layers.0.self_attn.", "q_proj"}.
struct Projection {
  std::string_view parent;
  std::string_view leaf;
};
Projection projection_of(std::string_view name) {
  if (name.ends_with(".weight")) name.remove_suffix(std::string_view(".weight").size());
  const std::size_t begin = name.rfind('.') + 1;  // 0 without a dot
  return {name.substr(0, begin), name.substr(begin)};
}

// What engines run as one matrix.
std::string_view fused_name(std::string_view leaf) {
  if (leaf == "gate_proj" || leaf == "up_proj") return "gate and up";
  if (leaf == "w1" || leaf == "w3") return "w1 and w3";
  if (leaf == "q_proj" || leaf == "k_proj" || leaf == "v_proj") return "q, k and v";
  return {};
}

class Judge {
 public:
  Judge(const Checkpoint& checkpoint, std::span<const ScanCounts> counts)
      : checkpoint_(checkpoint),
        counts_(counts),
        is_block_scale_(counts.size(), false),
        is_row_scale_(counts.size(), false) {}

  HealthReport run() {
    report_.num_files = checkpoint_.files().size();
    for (const SourceFile& file : checkpoint_.files()) report_.num_bytes += file.num_bytes;
    report_.num_tensors = checkpoint_.stored_tensors().size();
    for (const DescribedTensor& weight : checkpoint_.weights()) judge_weight(weight);
    judge_elements();
    judge_fused_scales();
    judge_input_scales();
    for (const Finding& conflict : checkpoint_.conflicts())
      find(HealthRule::kConflict, conflict.name, conflict.message);
    for (const Finding& repair : checkpoint_.repairs()) find(HealthRule::kRepair, repair.name, repair.message);
    // Rules worst first; inside a rule what concerns most, then the order of the files.
    std::sort(ranked_.begin(), ranked_.end(), [](const Ranked& x, const Ranked& y) {
      if (x.finding.rule != y.finding.rule) return x.finding.rule < y.finding.rule;
      return x.extent != y.extent ? x.extent > y.extent : x.order < y.order;
    });
    for (Ranked& ranked : ranked_) report_.findings.push_back(std::move(ranked.finding));
    return std::move(report_);
  }

 private:
  struct Ranked {
    HealthFinding finding;
    double extent = 0;      // larger is worse
    std::size_t order = 0;  // in which they were found
  };

  void find(HealthRule rule, std::string_view name, std::string message, double extent = 0) {
    ranked_.push_back({{rule, std::string(name), std::move(message)}, extent, ranked_.size()});
  }

  std::size_t index_of(const StoredTensor& tensor) const {
    return static_cast<std::size_t>(&tensor - checkpoint_.stored_tensors().data());
  }

  void judge_weight(const DescribedTensor& weight) {
    const ScanCounts& data = counts_[index_of(*weight.data)];
    HealthTotals totals{.num_weights = 1, .num_bytes = weight.data->num_bytes()};
    bool all_zero = data.all_zero && bits_per_element(weight.dtype) >= 8 && is_float(weight.dtype);
    if (weight.block_scales != nullptr) {
      all_zero = judge_blocks(weight, data, totals);
    } else {
      totals.num_nan = data.num_nan;
      totals.num_infinite = data.num_inf;
    }
    if (weight.row_scales != nullptr) judge_row_scales(weight, totals);
    if (all_zero && weight.shape.size() >= 2 && weight.num_elements() > 0) {
      find(HealthRule::kAllZero, weight.name,
           fmt::format("all {} weights are zero; the tensor was never written, or its layer is dead",
                       weight.num_elements()),
           static_cast<double>(weight.num_elements()));
    }
    add_to_kind(weight, totals);
  }

  static bool is_float(DType dtype) {
    return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF64 ||
           dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
  }

  // True when every block is zero, though the second-level scale is not.
  bool judge_blocks(const DescribedTensor& weight, const ScanCounts& codes, HealthTotals& totals) {
    const std::size_t scales_idx = index_of(*weight.block_scales);
    const ScanCounts& scales = counts_[scales_idx];
    is_block_scale_[scales_idx] = true;
    const std::uint64_t blocks = weight.block_scales->num_elements();
    totals.num_bytes += weight.block_scales->num_bytes();
    totals.num_blocks = blocks;
    totals.num_zero_scale_blocks = scales.num_zero;
    totals.num_zero_code_blocks = codes.num_zero;
    totals.num_subnormal_scales = scales.num_subnormal;
    totals.num_saturated_scales = scales.num_saturated;
    totals.num_nan = scales.num_nan;
    // Whatever the blocks of such a weight hold, it reads as zeros, and is among the repairs.
    const bool reads_as_zeros =
        std::all_of(weight.scale2.begin(), weight.scale2.end(), [](float scale2) { return scale2 == 0; });
    if (blocks == 0 || reads_as_zeros) return false;
    judge_block_scale_bytes(*weight.block_scales, scales, weight.block_size);
    if (scales.num_zero == blocks || codes.num_zero == blocks) return true;
    judge_block_shares(weight, codes, scales, blocks);
    return false;
  }

  void judge_block_scale_bytes(const StoredTensor& tensor, const ScanCounts& scales, std::uint32_t block_size) {
    const std::uint64_t blocks = tensor.num_elements();
    if (scales.num_nan > 0) {
      find(HealthRule::kBlockScaleNan, tensor.name,
           fmt::format("{} of {} block scales are NaN, the first at {}; {} weights each read as NaN: quantise again "
                       "with a calibration that covers the weights",
                       scales.num_nan, blocks, position(tensor.shape, scales.first_nan), block_size),
           static_cast<double>(scales.num_nan));
    }
    if (scales.num_negative > 0) {
      find(HealthRule::kBlockScaleSign, tensor.name,
           fmt::format("{} of {} block scales have the sign bit set, the first at {}; kernels that read scales as "
                       "unsigned take another value",
                       scales.num_negative, blocks, position(tensor.shape, scales.first_negative)),
           static_cast<double>(scales.num_negative));
    }
  }

  void judge_block_shares(const DescribedTensor& weight, const ScanCounts& codes, const ScanCounts& scales,
                          std::uint64_t blocks) {
    struct Share {
      HealthRule rule;
      std::uint64_t count;
      double limit;
      std::string_view what;
      std::string_view why;
    };
    const std::array<Share, 4> shares{{
        {HealthRule::kZeroScales, scales.num_zero, HealthLimits::kMaxZeroScales, "block scales are zero",
         "small weights were lost: scale2 is too large, or was folded into the block scales"},
        {HealthRule::kZeroCodes, codes.num_zero, HealthLimits::kMaxZeroCodes, "blocks have only zero codes",
         "the larger part of the weight is zero"},
        {HealthRule::kSaturatedScales, scales.num_saturated, HealthLimits::kMaxSaturatedScales, "block scales are 448",
         "large weights may be clipped: scale2 is too small"},
        {HealthRule::kSubnormalScales, scales.num_subnormal, HealthLimits::kMaxSubnormalScales,
         "block scales are subnormal",
         "they hold fewer than 3 bits of mantissa: scale2 is too large, or was folded into the block scales"},
    }};
    for (const Share& share : shares) {
      if (share.count < HealthLimits::kMinBlocks || !exceeds(share.count, blocks, share.limit)) continue;
      const StoredTensor& tensor = share.rule == HealthRule::kZeroCodes ? *weight.data : *weight.block_scales;
      find(
          share.rule, tensor.name,
          fmt::format("{} of {} {} ({}); {}", share.count, blocks, share.what, percent(share.count, blocks), share.why),
          static_cast<double>(share.count) / static_cast<double>(blocks));
    }
  }

  void judge_row_scales(const DescribedTensor& weight, HealthTotals& totals) {
    const StoredTensor& tensor = *weight.row_scales;
    const ScanCounts& scales = counts_[index_of(tensor)];
    is_row_scale_[index_of(tensor)] = true;
    totals.num_bytes += tensor.num_bytes();
    const std::uint64_t bad = scales.num_nan + scales.num_inf + scales.num_negative;
    if (bad == 0) return;
    const std::uint64_t first = std::min({scales.first_nan, scales.first_inf, scales.first_negative});
    find(HealthRule::kRowScale, tensor.name,
         fmt::format("{} of {} row scales are no scale ({} NaN, {} infinite, {} negative), the first at row {}", bad,
                     tensor.num_elements(), scales.num_nan, scales.num_inf, scales.num_negative, first),
         static_cast<double>(bad));
  }

  void add_to_kind(const DescribedTensor& weight, const HealthTotals& totals) {
    std::string name = folded(weight.name);
    const std::string_view scheme = scheme_name(weight);
    const auto [it, added] = kind_of_.try_emplace(fmt::format("{} {}", scheme, name), report_.kinds.size());
    if (added) report_.kinds.push_back({std::move(name), scheme, {}});
    report_.kinds[it->second].totals.add(totals);
    report_.totals.add(totals);
  }

  // Every tensor, also those that no weight of the text model uses.
  void judge_elements() {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      const StoredTensor& tensor = checkpoint_.stored_tensors()[i];
      const ScanCounts& counts = counts_[i];
      if (is_block_scale_[i] || is_row_scale_[i]) continue;
      if (counts.num_nan > 0) {
        find(HealthRule::kNan, tensor.name,
             fmt::format("{} of {} elements are NaN, the first at {}", counts.num_nan, tensor.num_elements(),
                         position(tensor.shape, counts.first_nan)),
             static_cast<double>(counts.num_nan));
      }
      if (counts.num_inf > 0) {
        find(HealthRule::kInfinity, tensor.name,
             fmt::format("{} of {} elements are infinite, the first at {}", counts.num_inf, tensor.num_elements(),
                         position(tensor.shape, counts.first_inf)),
             static_cast<double>(counts.num_inf));
      }
    }
  }

  // The widest ratio of second-level scales that multiply parts of what engines run as one matrix.
  void judge_fused_scales() {
    struct Group {
      std::string name;
      std::vector<const DescribedTensor*> members;
    };
    std::vector<Group> groups;
    std::unordered_map<std::string, std::size_t> group_of;
    for (const DescribedTensor& weight : checkpoint_.weights()) {
      if (weight.block_scales == nullptr) continue;
      const Projection projection = projection_of(weight.name);
      const std::string_view fused = fused_name(projection.leaf);
      if (fused.empty() && weight.num_shards() == 1) continue;
      std::string name = fused.empty() ? std::string(weight.name) : fmt::format("{}{{{}}}", projection.parent, fused);
      const auto [it, added] = group_of.try_emplace(name, groups.size());
      if (added) groups.push_back({std::move(name), {}});
      groups[it->second].members.push_back(&weight);
    }
    std::uint64_t num_unequal = 0;
    double widest = 1;
    std::string_view widest_name;
    for (const Group& group : groups) {
      const double ratio = scale2_ratio(group.members);
      if (ratio <= 1) continue;
      ++num_unequal;
      if (ratio > widest) {
        widest = ratio;
        widest_name = group.name;
      }
      if (ratio > HealthLimits::kMaxScale2Ratio) {
        find(HealthRule::kScale2Ratio, group.name,
             fmt::format("second-level scales differ by {:.3g}x; engines that take one for all of them are wrong here",
                         ratio),
             ratio);
      }
    }
    if (num_unequal > 0) {
      report_.notes.push_back({HealthRule::kScale2Ratio, std::string(widest_name),
                               fmt::format("second-level scales differ in {} of {} fused groups, by {:.3g}x at most "
                                           "(here); they must not be merged",
                                           num_unequal, groups.size(), widest)});
    }
  }

  // Of one expert, over the shards of all members; 1 when there is nothing to compare. Zero scales are of zero weights.
  static double scale2_ratio(std::span<const DescribedTensor* const> members) {
    double widest = 1;
    for (std::uint64_t expert = 0; expert < members.front()->num_experts(); ++expert) {
      float least = 0;
      float largest = 0;
      for (const DescribedTensor* member : members) {
        const std::uint64_t shards = member->num_shards();
        for (std::uint64_t i = expert * shards;
             i < std::min<std::uint64_t>((expert + 1) * shards, member->scale2.size()); ++i) {
          const float scale2 = member->scale2[i];
          if (scale2 == 0) continue;
          least = least == 0 ? scale2 : std::min(least, scale2);
          largest = std::max(largest, scale2);
        }
      }
      if (least > 0) widest = std::max(widest, static_cast<double>(largest) / static_cast<double>(least));
    }
    return widest;
  }

  void judge_input_scales() {
    std::vector<std::vector<float>> values;  // of one projection over all layers and experts
    std::unordered_map<std::string, std::size_t> values_of;
    for (const DescribedTensor& weight : checkpoint_.weights()) {
      if (weight.input_scale.empty()) continue;
      const std::size_t idx = values_of.try_emplace(folded(weight.name), values.size()).first->second;
      if (idx == values.size()) values.emplace_back();
      values[idx].insert(values[idx].end(), weight.input_scale.begin(), weight.input_scale.end());
    }
    for (std::vector<float>& of_one : values) std::sort(of_one.begin(), of_one.end());
    for (const DescribedTensor& weight : checkpoint_.weights()) {
      if (weight.input_scale.empty()) continue;
      judge_input_scale(weight, values[values_of.find(folded(weight.name))->second]);
    }
  }

  // `peers` are sorted. One finding per weight: the first of its scales that is suspicious.
  void judge_input_scale(const DescribedTensor& weight, std::span<const float> peers) {
    constexpr std::size_t kLeastPeers = 3;  // of two values nobody can say which one is off
    const float median = peers[(peers.size() - 1) / 2];
    const std::string_view name = weight.input_scale_tensor != nullptr ? weight.input_scale_tensor->name : weight.name;
    for (std::size_t i = 0; i < weight.input_scale.size(); ++i) {
      const float scale = weight.input_scale[i];
      const std::string which = weight.input_scale.size() > 1 ? fmt::format(" (expert {})", i) : "";
      if (scale < HealthLimits::kMinInputScale || scale > HealthLimits::kMaxInputScale) {
        return find(HealthRule::kInputScaleRange, name,
                    fmt::format("multiplier {}{} is outside of [2^-30, 2^10]; calibrate again", scale, which));
      }
      const double ratio = static_cast<double>(scale) / static_cast<double>(median);
      const double limit = HealthLimits::kMaxInputScaleRatio;
      if (peers.size() >= kLeastPeers && (ratio > limit || ratio * limit < 1)) {
        return find(
            HealthRule::kInputScaleOutlier, name,
            fmt::format("multiplier {}{} is {:.3g}x the median of this projection ({})", scale, which, ratio, median),
            std::max(ratio, 1 / ratio));
      }
    }
  }

  const Checkpoint& checkpoint_;
  std::span<const ScanCounts> counts_;
  std::vector<bool> is_block_scale_;  // [stored_tensors]
  std::vector<bool> is_row_scale_;
  std::unordered_map<std::string, std::size_t> kind_of_;  // "scheme name" -> report_.kinds
  std::vector<Ranked> ranked_;
  HealthReport report_;
};

}  // namespace

std::string_view rule_name(HealthRule rule) {
  switch (rule) {
    case HealthRule::kBlockScaleNan:
      return "block_scale_nan";
    case HealthRule::kNan:
      return "nan";
    case HealthRule::kInfinity:
      return "infinity";
    case HealthRule::kRowScale:
      return "row_scale";
    case HealthRule::kBlockScaleSign:
      return "block_scale_sign";
    case HealthRule::kAllZero:
      return "all_zero";
    case HealthRule::kZeroScales:
      return "zero_scales";
    case HealthRule::kZeroCodes:
      return "zero_codes";
    case HealthRule::kSaturatedScales:
      return "saturated_scales";
    case HealthRule::kSubnormalScales:
      return "subnormal_scales";
    case HealthRule::kScale2Ratio:
      return "scale2_ratio";
    case HealthRule::kInputScaleRange:
      return "input_scale_range";
    case HealthRule::kInputScaleOutlier:
      return "input_scale_outlier";
    case HealthRule::kConflict:
      return "conflict";
    case HealthRule::kRepair:
      return "repair";
  }
  return "unknown";
}

void HealthTotals::add(const HealthTotals& other) {
  num_weights += other.num_weights;
  num_bytes += other.num_bytes;
  num_blocks += other.num_blocks;
  num_zero_scale_blocks += other.num_zero_scale_blocks;
  num_zero_code_blocks += other.num_zero_code_blocks;
  num_subnormal_scales += other.num_subnormal_scales;
  num_saturated_scales += other.num_saturated_scales;
  num_nan += other.num_nan;
  num_infinite += other.num_infinite;
}

HealthReport judge_health(const Checkpoint& checkpoint, std::span<const ScanCounts> counts) {
  return Judge(checkpoint, counts).run();
}

}  // namespace nvfp4::checkpoint
