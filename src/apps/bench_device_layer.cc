#include "apps/bench_device_layer.h"

#include <fmt/format.h>

#include <cmath>
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
#include "prepare/random_weight.h"

namespace nvfp4::apps {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceWorkspace;
using kernels::FragmentPieces;
using kernels::WeightFormat;

// An activation of unit variance stays below this, nearly always.
constexpr float kActivationRange = 8.0F;
constexpr float kInputScale = kActivationRange / kNvfp4Range;
constexpr std::uint64_t kKeysPerCopy = 16;

std::uint64_t key_of(std::size_t copy_idx, std::uint64_t part) {
  return prepare::mix_bits((copy_idx + 1) * kKeysPerCopy + part);
}

std::uint64_t fragment_bytes(const FragmentPieces& pieces) {
  return pieces.num_matrices * (pieces.is_pair ? Fragment16x64::num_pair_bytes(pieces.num_rows, pieces.cols)
                                               : Fragment16x64::num_bytes(pieces.num_rows, pieces.cols));
}

// A second-level scale under which weights have about the variance 1 / in_features: different for every matrix.
float random_scale2(std::uint64_t in_features, double rms, std::uint64_t key) {
  const double factor = 0.75 + 0.5 * static_cast<double>(prepare::mix_bits(key) >> 40U) * 0x1p-24;
  return static_cast<float>(factor / (rms * std::sqrt(static_cast<double>(in_features))));
}

// Fills buffers; the first thing that fails stays.
class Filler {
 public:
  Filler(std::string name, DeviceStream stream)
      : name_(std::move(name)), random_(*kernels::device_random()), stream_(stream) {}

  // In the layout that a kernel reads.
  Buffer weights(const FragmentPieces& pieces, kernels::DeviceWeightLayout layout, std::uint64_t key) {
    Buffer out = allocate(fragment_bytes(pieces));
    if (status_) status_ = random_.fill_fragments(pieces, key, out.as<std::uint8_t>(), stream_);
    if (layout != kernels::DeviceWeightLayout::kFragment16x64) change_layout(pieces, layout, out);
    return out;
  }
  Buffer e4m3(std::size_t count, std::uint64_t key) {
    Buffer out = allocate(count);
    if (status_) status_ = random_.fill_e4m3(count, key, out.as<std::uint8_t>(), stream_);
    return out;
  }
  Buffer bf16(std::size_t count, double deviation, std::uint64_t key) {
    Buffer out = allocate(count * sizeof(Bf16Bits));
    if (status_) status_ = random_.fill_bf16(count, deviation, key, out.as<Bf16Bits>(), stream_);
    return out;
  }
  Buffer scales2(std::size_t count, std::uint64_t in_features, std::uint64_t key) {
    std::vector<float> scales(count);
    for (std::size_t i = 0; i < count; ++i) {
      scales[i] = random_scale2(in_features, kernels::kRandomFragmentRms, key + i);
    }
    return copy(std::span<const float>(scales));
  }
  template <class T>
  Buffer copy(std::span<const T> values) {
    if (!status_) return {};
    auto buffer = to_device(values, stream_);
    if (buffer) return std::move(buffer).value();
    status_ = std::move(buffer).error();
    return {};
  }
  [[nodiscard]] Status finish() {
    NVFP4_RETURN_IF_ERROR(status_);
    return runtime::synchronize(stream_);
  }

 private:
  // By way of the order of the file.
  void change_layout(const FragmentPieces& pieces, kernels::DeviceWeightLayout layout, const Buffer& packed) {
    const std::size_t num_codes = pieces.num_matrices * pieces.num_rows * pieces.cols / 2;
    const std::size_t num_scales = pieces.num_matrices * pieces.num_rows * pieces.cols / pieces.block_size;
    const Buffer codes[2] = {allocate(num_codes), allocate(pieces.is_pair ? num_codes : 1)};
    const Buffer scales[2] = {allocate(num_scales), allocate(pieces.is_pair ? num_scales : 1)};
    kernels::RowMajorMatrix<std::uint8_t> rows[2];
    kernels::RowMajorMatrix<const std::uint8_t> filled[2];
    for (std::size_t i = 0; i < 2; ++i) {
      rows[i] = {codes[i].as<std::uint8_t>(), scales[i].as<std::uint8_t>()};
      filled[i] = {rows[i].codes, rows[i].scales};
    }
    auto* const tiles = packed.as<std::uint8_t>();
    const kernels::FragmentPacker& from = *kernels::device_packer(kernels::DeviceWeightLayout::kFragment16x64);
    if (status_) status_ = from.unpack(pieces, tiles, rows[0], rows[1], stream_);
    const kernels::FragmentPacker& to = *kernels::device_packer(layout);
    if (status_) status_ = to.pack(pieces, filled[0], filled[1], tiles, stream_);
    if (status_) status_ = runtime::synchronize(stream_);
  }
  Buffer allocate(std::size_t num_bytes) {
    if (!status_) return {};
    auto buffer = Buffer::allocate(num_bytes, name_);
    if (buffer) return std::move(buffer).value();
    status_ = std::move(buffer).error();
    return {};
  }

  std::string name_;
  const kernels::DeviceRandom& random_;
  DeviceStream stream_;
  Status status_;
};

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
    Filler filler(problem_.to_string(), stream);
    for (std::size_t copy_idx = 0; copy_idx < rotation.num_copies; ++copy_idx) {
      copies_.push_back(make_copy(filler, copy_idx));
    }
    return filler.finish();
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

  prepare::DeviceLinear make_copy(Filler& filler, std::size_t copy_idx) const {
    const std::uint64_t key = key_of(copy_idx, 0);
    const std::size_t count = problem_.out_features * problem_.in_features;
    prepare::DeviceLinear weight;
    weight.problem = layer_;
    weight.input_scale = kInputScale;
    weight.shards.end_rows[0] = layer_.out_features;
    float& scale2 = weight.shards.scale2[0];
    switch (layer_.weight) {
      case WeightFormat::kNvfp4:
        weight.elements = filler.weights(pieces(), schedule_.nvfp4_layout(), key);
        scale2 = random_scale2(problem_.in_features, kernels::kRandomFragmentRms, key);
        break;
      case WeightFormat::kFp8:
        weight.elements = filler.e4m3(count, key);
        scale2 = random_scale2(problem_.in_features, kernels::kRandomE4m3Rms, key);
        break;
      default:  // no kernel takes another
        weight.elements = filler.bf16(count, 1 / std::sqrt(static_cast<double>(problem_.in_features)), key);
        scale2 = 1.0F;
    }
    return weight;
  }

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
    Filler filler(problem_.to_string(), stream);
    for (std::size_t copy_idx = 0; copy_idx < rotation.num_copies; ++copy_idx) {
      copies_.push_back(make_copy(filler, copy_idx));
    }
    double num_distinct = 0;
    for (std::size_t call_idx = 0; call_idx < (one_routing ? 1 : rotation.num_calls); ++call_idx) {
      const RandomRouting routing = random_routing(problem_, call_idx);
      routings_.push_back({filler.copy(std::span<const std::int32_t>(routing.expert_ids)),
                           filler.copy(std::span<const float>(routing.weights))});
      num_distinct += routing.num_distinct;
    }
    // The router's own weights are not read.
    bytes_read_ = problem_.bytes_read(num_distinct / static_cast<double>(routings_.size())) - problem_.bytes_read(0);
    return filler.finish();
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

  prepare::DeviceExpertWeights make_copy(Filler& filler, std::size_t copy_idx) const {
    const std::size_t num_experts = problem_.num_experts;
    prepare::DeviceExpertWeights out;
    out.gate_up = filler.weights(fc1(), schedule_.nvfp4_layout(), key_of(copy_idx, 0));
    out.down = filler.weights(fc2(), schedule_.nvfp4_layout(), key_of(copy_idx, 1));
    if (layer_.gated()) {
      out.gate_scale2 = filler.scales2(num_experts, problem_.hidden_size, key_of(copy_idx, 2));
    }
    out.up_scale2 = filler.scales2(num_experts, problem_.hidden_size, key_of(copy_idx, 3));
    out.down_scale2 = filler.scales2(num_experts, problem_.intermediate_size, key_of(copy_idx, 4));
    if (layer_.activation == Activation::kNvfp4Static) {
      const std::vector<float> input_scales(num_experts, kInputScale);
      out.fc1_input_scale = filler.copy(std::span<const float>(input_scales));
      out.fc2_input_scale = filler.copy(std::span<const float>(input_scales));
    }
    return out;
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
