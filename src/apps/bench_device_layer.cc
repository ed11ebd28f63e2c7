#include "apps/bench_device_layer.h"

#include <fmt/format.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "apps/bench_routing.h"
#include "device/buffer.h"
#include "formats/nvfp4_block.h"
#include "kernels/catalogue/device_catalogue.h"
#include "kernels/catalogue/device_schedule.h"
#include "layouts/fragment_16x64.h"
#include "prepare/device_weight.h"
#include "prepare/random_device_weight.h"

namespace nvfp4::apps {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceWorkspace;
using kernels::FragmentPieces;
using kernels::WeightFormat;

std::uint64_t fragment_bytes(const FragmentPieces& pieces) {
  return pieces.num_matrices * (pieces.is_pair ? Fragment16x64::num_pair_bytes(pieces.num_rows, pieces.cols)
                                               : Fragment16x64::num_bytes(pieces.num_rows, pieces.cols));
}

class LinearLayer : public DeviceLayer {
 public:
  static Result<std::unique_ptr<DeviceLayer>> create(const BenchProblem& problem, const DeviceCaps& caps,
                                                     std::string_view kernel_name) {
    kernels::DeviceLinearProblem wanted;
    wanted.weight = weight_format(problem.scheme);
    wanted.activation = activation(problem.scheme);
    wanted.out_features = static_cast<std::uint32_t>(problem.out_features);
    wanted.in_features = static_cast<std::uint32_t>(problem.in_features);
    auto schedule = kernels::schedule_device_linear(wanted, caps, problem.num_tokens, problem.to_string(), kernel_name);
    NVFP4_RETURN_IF_ERROR(schedule);
    return std::unique_ptr<DeviceLayer>(new LinearLayer(problem, wanted, std::move(schedule).value()));
  }

  [[nodiscard]] std::string_view kernel() const override { return schedule_.range_of(problem_.num_tokens).kernel.name; }
  [[nodiscard]] std::size_t workspace_bytes() const override { return schedule_.workspace_bytes(); }
  [[nodiscard]] std::size_t zeroed_bytes() const override { return schedule_.zeroed_bytes(); }
  [[nodiscard]] std::uint64_t copy_bytes() const override {
    if (layer_.weight == WeightFormat::kNvfp4) return fragment_bytes(pieces());
    return problem_.out_features * problem_.in_features * kernels::bits_per_weight(layer_.weight) / 8;
  }
  [[nodiscard]] double bytes_read() const override { return problem_.bytes_read(1); }

  [[nodiscard]] Status fill(const Rotation& rotation, bool /*one_routing*/, DeviceStream stream) override {
    for (std::size_t copy_idx = 0; copy_idx < rotation.num_copies; ++copy_idx) {
      auto copy =
          prepare::random_device_linear(layer_, schedule_.nvfp4_layout(), copy_idx, problem_.to_string(), stream);
      NVFP4_RETURN_IF_ERROR(copy);
      copies_.push_back(std::move(copy).value());
    }
    return {};
  }

  [[nodiscard]] Status run(std::size_t call_idx, const Bf16Bits* x, Bf16Bits* y, const DeviceWorkspace& workspace,
                           DeviceStream stream) const override {
    const kernels::DeviceLinearArgs args{problem_.num_tokens, x, y};
    return schedule_.run(copies_[call_idx % copies_.size()].view(), args, workspace, stream);
  }

 private:
  LinearLayer(const BenchProblem& problem, const kernels::DeviceLinearProblem& layer,
              kernels::DeviceLinearSchedule schedule)
      : problem_(problem), layer_(layer), schedule_(std::move(schedule)) {}

  [[nodiscard]] FragmentPieces pieces() const { return {1, problem_.out_features, problem_.in_features}; }

  BenchProblem problem_;
  kernels::DeviceLinearProblem layer_;
  kernels::DeviceLinearSchedule schedule_;
  std::vector<prepare::DeviceLinear> copies_;
};

kernels::ExpertFunction expert_function(ExpertActivation activation) {
  switch (activation) {
    case ExpertActivation::kRelu2:
      return kernels::ExpertFunction::kRelu2;
    case ExpertActivation::kGeluTanh:
      return kernels::ExpertFunction::kGeluTanh;
    case ExpertActivation::kSwigluOai:
      return kernels::ExpertFunction::kSwigluOai;
    case ExpertActivation::kSilu:
      break;
  }
  return kernels::ExpertFunction::kSilu;
}

kernels::MoeProblem moe_problem(const BenchProblem& problem) {
  constexpr float kSwigluLimit = 7.0F;
  kernels::MoeProblem out;
  out.activation = activation(problem.scheme);
  out.function = expert_function(problem.expert_activation);
  out.swiglu_limit = kSwigluLimit;
  out.hidden = static_cast<std::uint32_t>(problem.hidden_size);
  out.intermediate = static_cast<std::uint32_t>(problem.intermediate_size);
  out.num_experts = problem.num_experts;
  out.num_global_experts = problem.num_global_experts;
  out.top_k = problem.top_k;
  out.one_fc1_input_scale = true;
  return out;
}

class MoeLayer : public DeviceLayer {
 public:
  static Result<std::unique_ptr<DeviceLayer>> create(const BenchProblem& problem, const DeviceCaps& caps,
                                                     std::string_view kernel_name) {
    const std::string where = problem.to_string();
    if (weight_format(problem.scheme) != WeightFormat::kNvfp4) {
      return Error{ErrorCode::kUnsupported, where, "on a GPU, experts are w4a16 or w4a4"};
    }
    const kernels::MoeProblem wanted = moe_problem(problem);
    auto schedule = kernels::schedule_device_moe(wanted, caps, problem.num_tokens, where, kernel_name);
    NVFP4_RETURN_IF_ERROR(schedule);
    return std::unique_ptr<DeviceLayer>(new MoeLayer(problem, wanted, std::move(schedule).value()));
  }

  [[nodiscard]] std::string_view kernel() const override { return schedule_.range_of(problem_.num_tokens).kernel.name; }
  [[nodiscard]] std::size_t workspace_bytes() const override { return schedule_.workspace_bytes(); }
  [[nodiscard]] std::size_t zeroed_bytes() const override { return schedule_.zeroed_bytes(); }
  [[nodiscard]] std::uint64_t copy_bytes() const override { return fragment_bytes(fc1()) + fragment_bytes(fc2()); }
  [[nodiscard]] double bytes_read() const override { return bytes_read_; }

  [[nodiscard]] Status fill(const Rotation& rotation, bool one_routing, DeviceStream stream) override {
    for (std::size_t copy_idx = 0; copy_idx < rotation.num_copies; ++copy_idx) {
      auto copy =
          prepare::random_device_experts(layer_, schedule_.nvfp4_layout(), copy_idx, problem_.to_string(), stream);
      NVFP4_RETURN_IF_ERROR(copy);
      copies_.push_back(std::move(copy).value());
    }
    double num_distinct = 0;
    for (std::size_t call_idx = 0; call_idx < (one_routing ? 1 : rotation.num_calls); ++call_idx) {
      const prepare::RandomRouting routing = random_routing(problem_, call_idx);
      auto expert_ids = to_device(std::span<const std::int32_t>(routing.expert_ids), stream);
      NVFP4_RETURN_IF_ERROR(expert_ids);
      auto weights = to_device(std::span<const float>(routing.weights), stream);
      NVFP4_RETURN_IF_ERROR(weights);
      routings_.push_back({std::move(expert_ids).value(), std::move(weights).value()});
      num_distinct += routing.num_distinct;
    }
    // The router's own weights are not read.
    bytes_read_ = problem_.bytes_read(num_distinct / static_cast<double>(routings_.size())) - problem_.bytes_read(0);
    return {};
  }

  [[nodiscard]] Status run(std::size_t call_idx, const Bf16Bits* x, Bf16Bits* y, const DeviceWorkspace& workspace,
                           DeviceStream stream) const override {
    const Routing& routing = routings_[call_idx % routings_.size()];
    kernels::DeviceMoeArgs args;
    args.num_tokens = problem_.num_tokens;
    args.x = x;
    args.expert_ids = routing.expert_ids.as<std::int32_t>();
    args.router_weights = routing.weights.as<float>();
    args.y = y;
    kernels::DeviceMoeWeights weights;
    weights.experts = copies_[call_idx % copies_.size()].view();
    return schedule_.run(weights, args, workspace, stream);
  }

 private:
  struct Routing {
    Buffer expert_ids, weights;
  };

  MoeLayer(const BenchProblem& problem, const kernels::MoeProblem& layer, kernels::DeviceMoeSchedule schedule)
      : problem_(problem), layer_(layer), schedule_(std::move(schedule)) {}

  [[nodiscard]] FragmentPieces fc1() const {
    return {problem_.num_experts, problem_.intermediate_size, problem_.hidden_size, kNvfp4BlockSize, layer_.gated()};
  }
  [[nodiscard]] FragmentPieces fc2() const {
    return {problem_.num_experts, problem_.hidden_size, problem_.intermediate_size};
  }

  BenchProblem problem_;
  kernels::MoeProblem layer_;
  kernels::DeviceMoeSchedule schedule_;
  std::vector<prepare::DeviceExpertWeights> copies_;
  std::vector<Routing> routings_;
  double bytes_read_ = 0;
};

}  // namespace

Result<std::unique_ptr<DeviceLayer>> DeviceLayer::create(const BenchProblem& problem, const DeviceCaps& caps,
                                                         std::string_view kernel_name) {
  return problem.is_moe() ? MoeLayer::create(problem, caps, kernel_name)
                          : LinearLayer::create(problem, caps, kernel_name);
}

}  // namespace nvfp4::apps
