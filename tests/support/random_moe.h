// Random MoE layers for tests: experts with scales of their own everywhere, and ids of every kind.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "kernels/contract/device_moe.h"
#include "kernels/reference/moe.h"
#include "support/random_linear.h"

namespace nvfp4::support {

// Which experts tokens choose.
enum class IdPattern : std::uint8_t {
  kDistinct,    // a token's are different
  kFew,         // most on two experts, others on none
  kOne,         // all on one
  kDuplicates,  // drawn one by one, also the same twice
  kHoles,       // some -1, some beyond the last, some tokens without any
  kNone,        // all -1
};

// What the numbers are.
enum class MoeValues : std::uint8_t {
  kRandom,
  // Sums that float32 computes without rounding, and inner values that are BF16 numbers: y is round_bf16() of the
  // reference, to the bit. For kRelu2 and kSilu (whose gates are so large that it is the identity) at k16Bit, and at
  // kNvfp4Static, whose scales are 1.
  kExact,
};

struct MoeSpec {
  kernels::MoeProblem problem;
  std::uint32_t num_tokens = 1;
  IdPattern ids = IdPattern::kDistinct;
  MoeValues values = MoeValues::kRandom;
  int x_exponent = 0;               // x is of the order of 2^x_exponent; what experts compute is not
  bool has_shared_weights = false;  // with a shared expert
};

inline kernels::MoeProblem moe_problem(kernels::ExpertFunction function, std::uint32_t hidden,
                                       std::uint32_t intermediate, std::uint32_t num_experts, std::uint32_t top_k) {
  kernels::MoeProblem problem;
  problem.function = function;
  problem.hidden = hidden;
  problem.intermediate = intermediate;
  problem.num_experts = num_experts;
  problem.top_k = top_k;
  problem.swiglu_limit = 3.0F;
  return problem;
}

// For messages of tests; found by its argument.
inline std::string describe(const MoeSpec& spec) {
  const kernels::MoeProblem& p = spec.problem;
  return std::string(kernels::expert_function_name(p.function)) + " H " + std::to_string(p.hidden) + " I " +
         std::to_string(p.intermediate) + " E " + std::to_string(p.num_experts) + " k " + std::to_string(p.top_k) +
         " T " + std::to_string(spec.num_tokens) + " activation " + std::to_string(static_cast<int>(p.activation)) +
         " ids " + std::to_string(static_cast<int>(spec.ids));
}

class RandomMoe {
 public:
  RandomMoe(const MoeSpec& spec, Random& random)
      : spec_(spec), experts_(spec, spec.problem.num_experts, spec.problem.intermediate, random) {
    const kernels::MoeProblem& problem = spec.problem;
    if (problem.shared_intermediate != 0) shared_.emplace(spec, 1U, problem.shared_intermediate, random);
    if (problem.num_ids() > problem.num_experts) make_map(random);
    make_ids(random);
    make_x(random);
    for (std::size_t pair = 0; pair < ids_.size(); ++pair) {
      router_weights_.push_back(is_exact() ? std::ldexp(1.0F, -static_cast<int>(random.below(2)))
                                           : random.uniform(0.02F, 1.0F));
    }
    if (spec.has_shared_weights) {
      for (std::uint32_t t = 0; t < spec.num_tokens; ++t) {
        shared_weights_.push_back(is_exact() ? 0.5F : random.uniform(0.1F, 0.9F));
      }
    }
  }

  [[nodiscard]] const MoeSpec& spec() const { return spec_; }
  // Host memory; y is null.
  [[nodiscard]] kernels::DeviceMoeArgs args() const {
    kernels::DeviceMoeArgs args;
    args.num_tokens = spec_.num_tokens;
    args.x = x_.data();
    args.expert_ids = ids_.data();
    args.router_weights = router_weights_.data();
    args.expert_map = map_.empty() ? nullptr : map_.data();
    args.shared_weights = shared_weights_.empty() ? nullptr : shared_weights_.data();
    return args;
  }
  [[nodiscard]] const std::vector<kernels::Bf16Bits>& x() const { return x_; }                // [T, H]
  [[nodiscard]] const std::vector<std::int32_t>& ids() const { return ids_; }                 // [T, k]
  [[nodiscard]] const std::vector<float>& router_weights() const { return router_weights_; }  // [T, k]
  [[nodiscard]] const std::vector<std::int32_t>& expert_map() const { return map_; }          // [num_ids] or empty
  [[nodiscard]] const std::vector<float>& shared_weights() const { return shared_weights_; }  // [T] or empty

  // Three projections as a checkpoint has them.
  class Projections {
   public:
    Projections(const MoeSpec& spec, std::uint32_t num_experts, std::uint32_t intermediate, Random& random)
        : up_(projection(spec, num_experts, intermediate, spec.problem.hidden), random),
          down_(projection(spec, num_experts, spec.problem.hidden, intermediate), random) {
      if (spec.problem.gated()) {
        gate_.emplace(projection(spec, num_experts, intermediate, spec.problem.hidden), random);
      }
      if (spec.values == MoeValues::kExact) {
        make_exact(random);
      } else {
        make_tame(spec, random);
      }
    }

    [[nodiscard]] const RandomLinear* gate() const { return gate_ ? &*gate_ : nullptr; }
    [[nodiscard]] const RandomLinear& up() const { return up_; }
    [[nodiscard]] const RandomLinear& down() const { return down_; }

   private:
    static LinearSpec projection(const MoeSpec& spec, std::uint32_t num_experts, std::uint64_t out, std::uint64_t in) {
      LinearSpec linear;
      linear.format = kernels::WeightFormat::kNvfp4;
      linear.activation = spec.problem.activation;
      linear.input_rule = spec.problem.input_rule;
      linear.num_experts = num_experts;
      linear.out_features = out;
      linear.in_features = in;
      return linear;
    }

    // Second-level scales under which products with inputs of the order of `input` are of the order of `output`.
    static void set_scale2(RandomLinear& linear, double input, double output, Random& random) {
      constexpr double kCodes = 2.9;  // root of the mean square of all E2M1 numbers
      double squares = 0;
      for (const std::uint8_t scale : linear.block_scales) squares += std::pow(decode_e4m3(scale), 2);
      const double weight = kCodes * std::sqrt(squares / static_cast<double>(linear.block_scales.size()));
      const double sum = input * weight * std::sqrt(static_cast<double>(linear.spec.in_features));
      for (float& scale : linear.scale2) scale = static_cast<float>(output / sum) * random.uniform(0.5F, 2.0F);
    }
    // Under which the largest input is about `largest`; some saturate.
    static std::vector<float> input_scales(const LinearSpec& spec, double largest, Random& random) {
      std::vector<float> scales;
      for (std::uint32_t e = 0; e < spec.num_experts; ++e) {
        const float multiplier = static_cast<float>(largest / 2688) * random.uniform(0.5F, 1.5F);
        scales.push_back(spec.input_rule == QuantizerRule::kModelOpt ? multiplier : 1.0F / multiplier);
      }
      return scales;
    }

    void make_tame(const MoeSpec& spec, Random& random) {
      constexpr double kInner = 2;  // so that functions are neither linear nor zero
      const double x = std::ldexp(1.0, spec.x_exponent);
      set_scale2(up_, x, kInner, random);
      set_scale2(down_, kInner, 1, random);
      if (gate_) set_scale2(*gate_, x, kInner, random);
      if (!up_.spec.has_input_scale()) return;
      up_.input_scale = input_scales(up_.spec, 5 * x, random);
      if (spec.problem.one_fc1_input_scale) {
        std::fill(up_.input_scale.begin(), up_.input_scale.end(), up_.input_scale.front());
      }
      if (gate_) gate_->input_scale = up_.input_scale;
      down_.input_scale = input_scales(down_.spec, 150 * kInner * kInner, random);
    }

    // Weights 0, +-1, +-2 and scales that are powers of two. A gate looks at x[0] = 1 only, and is 32 or 64.
    void make_exact(Random& random) {
      for (RandomLinear* linear : {&up_, &down_}) {
        constexpr std::array<std::uint8_t, 8> kCodes = {0, 2, 4, 10, 12, 0, 0, 0};
        for (std::byte& byte : linear->elements) {
          byte = static_cast<std::byte>(kCodes[random.below(8)] | kCodes[random.below(8)] << 4U);
        }
        std::fill(linear->block_scales.begin(), linear->block_scales.end(), std::uint8_t{0x38});
        for (float& scale : linear->scale2) scale = 1.0F;
      }
      for (float& scale : down_.scale2) scale = std::ldexp(1.0F, static_cast<int>(random.below(3)) - 1);
      for (RandomLinear* linear : {&up_, &down_}) {
        std::fill(linear->input_scale.begin(), linear->input_scale.end(), 1.0F);
      }
      if (!gate_) return;
      std::fill(gate_->elements.begin(), gate_->elements.end(), std::byte{0});
      std::fill(gate_->block_scales.begin(), gate_->block_scales.end(), std::uint8_t{0x58});  // 16
      const std::size_t row_bytes = gate_->spec.in_features / 2;
      for (std::size_t begin = 0; begin < gate_->elements.size(); begin += row_bytes) {
        gate_->elements[begin] = static_cast<std::byte>(random.below(2) == 0 ? 4 : 6);  // 2 or 4
      }
      for (float& scale : gate_->scale2) scale = 1.0F;
    }

    RandomLinear up_, down_;
    std::optional<RandomLinear> gate_;
  };
  [[nodiscard]] const Projections& experts() const { return experts_; }
  [[nodiscard]] const Projections* shared() const { return shared_ ? &*shared_ : nullptr; }

  // y of the reference.
  [[nodiscard]] std::vector<double> reference(
      kernels::reference::InnerRounding inner = kernels::reference::InnerRounding::kBF16) const {
    return reference_at(spec_.problem.activation, inner);
  }
  // The same layer with other activations than its own.
  [[nodiscard]] std::vector<double> reference_at(Activation activation, kernels::reference::InnerRounding inner) const {
    const Views experts(experts_);
    const std::optional<Views> shared = shared_ ? std::optional<Views>(*shared_) : std::nullopt;
    kernels::reference::MoeWeights weights{experts.weights(), {}};
    if (shared) weights.shared = shared->weights();
    kernels::MoeProblem problem = spec_.problem;
    problem.activation = activation;
    return kernels::reference::moe(problem, weights, args(), inner);
  }

 private:
  struct Views {
    explicit Views(const Projections& projections)
        : up(projections.up().view()), down(projections.down().view()), has_gate(projections.gate() != nullptr) {
      if (has_gate) gate = projections.gate()->view();
    }
    [[nodiscard]] kernels::reference::ExpertWeights weights() const { return {has_gate ? &gate : nullptr, &up, &down}; }

    kernels::LinearWeight gate, up, down;
    bool has_gate;
  };

  [[nodiscard]] bool is_exact() const { return spec_.values == MoeValues::kExact; }

  // Every place belongs to one of the ids; the others are elsewhere.
  void make_map(Random& random) {
    const auto num_experts = static_cast<std::int32_t>(spec_.problem.num_experts);
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(spec_.problem.num_ids()); ++id) {
      map_.push_back(id < num_experts ? id : (id % 2 == 0 ? -1 : num_experts + 3));
    }
    shuffle(map_, random);
  }

  void make_ids(Random& random) {
    const kernels::MoeProblem& problem = spec_.problem;
    std::vector<std::int32_t> all(problem.num_ids());
    std::iota(all.begin(), all.end(), 0);
    for (std::uint32_t t = 0; t < spec_.num_tokens; ++t) {
      shuffle(all, random);
      const bool is_hole = spec_.ids == IdPattern::kHoles && random.below(5) == 0;
      for (std::uint32_t j = 0; j < problem.top_k; ++j) {
        ids_.push_back(is_hole ? -1 : next_id(all[j % all.size()], random));
      }
    }
  }
  [[nodiscard]] std::int32_t next_id(std::int32_t distinct, Random& random) const {
    const std::uint32_t num_ids = spec_.problem.num_ids();
    const auto drawn = static_cast<std::int32_t>(random.below(num_ids));
    switch (spec_.ids) {
      case IdPattern::kDistinct:
        return distinct;
      case IdPattern::kFew:
        return random.below(16) == 0 ? drawn : static_cast<std::int32_t>(num_ids / 2 * random.below(2));
      case IdPattern::kOne:
        return static_cast<std::int32_t>(num_ids - 1);
      case IdPattern::kDuplicates:
        return drawn / 2;
      case IdPattern::kHoles:
        return random.below(3) != 0   ? distinct
               : random.below(2) == 0 ? -1
                                      : static_cast<std::int32_t>(num_ids + random.below(9));
      case IdPattern::kNone:
        break;
    }
    return -1;
  }

  void make_x(Random& random) {
    const std::uint32_t hidden = spec_.problem.hidden;
    x_.assign(std::size_t{spec_.num_tokens} * hidden, 0);
    for (std::size_t t = 0; t < spec_.num_tokens; ++t) {
      kernels::Bf16Bits* const row = x_.data() + t * hidden;
      if (is_exact()) {  // sums of at most 8 weights
        row[0] = encode_bf16(1.0F);
        for (int i = 0; i < 7; ++i)
          row[1 + random.below(hidden - 1)] = encode_bf16(random.below(2) == 0 ? 1.0F : -1.0F);
        continue;
      }
      for (std::uint32_t k = 0; k < hidden; ++k) {
        const float value = random.uniform(-1.7F, 1.7F) * (random.below(50) == 0 ? 3.0F : 1.0F);
        row[k] = encode_bf16(std::ldexp(value, spec_.x_exponent));
      }
    }
  }

  template <class T>
  static void shuffle(std::vector<T>& values, Random& random) {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[random.below(static_cast<std::uint32_t>(i))]);
    }
  }

  MoeSpec spec_;
  Projections experts_;
  std::optional<Projections> shared_;
  std::vector<kernels::Bf16Bits> x_;
  std::vector<std::int32_t> ids_, map_;
  std::vector<float> router_weights_, shared_weights_;
};

}  // namespace nvfp4::support
