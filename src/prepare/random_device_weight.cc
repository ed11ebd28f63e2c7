#include "prepare/random_device_weight.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "device/buffer.h"
#include "formats/nvfp4_block.h"
#include "kernels/catalogue/device_catalogue.h"
#include "layouts/fragment_16x64.h"
#include "prepare/random_weight.h"

namespace nvfp4::prepare {
namespace {

using kernels::Bf16Bits;
using kernels::DeviceWeightLayout;
using kernels::FragmentPieces;
using kernels::WeightFormat;

// An activation of unit variance stays below this, nearly always.
constexpr float kActivationRange = 8.0F;
constexpr std::uint64_t kKeysPerWeight = 16;

std::uint64_t key_of(std::uint64_t key, std::uint64_t part) { return mix_bits((key + 1) * kKeysPerWeight + part); }

std::uint64_t fragment_bytes(const FragmentPieces& pieces) {
  return pieces.num_matrices * (pieces.is_pair ? Fragment16x64::num_pair_bytes(pieces.num_rows, pieces.cols)
                                               : Fragment16x64::num_bytes(pieces.num_rows, pieces.cols));
}

float unit(std::uint64_t key) { return static_cast<float>(mix_bits(key) >> 40U) * 0x1p-24F; }

// A second-level scale under which weights have about the variance 1 / in_features: different for every matrix.
float random_scale2(std::uint64_t in_features, double rms, std::uint64_t key) {
  const double factor = 0.75 + 0.5 * static_cast<double>(unit(key));
  return static_cast<float>(factor / (rms * std::sqrt(static_cast<double>(in_features))));
}

float input_scale_of(float range, QuantizerRule rule) {
  const float multiplier = kActivationRange / range;
  return rule == QuantizerRule::kModelOpt ? multiplier : 1 / multiplier;
}

// Fills buffers; the first thing that fails stays.
class Filler {
 public:
  Filler(std::string name, DeviceStream stream)
      : name_(std::move(name)), random_(*kernels::device_random()), stream_(stream) {}

  // In the layout that a kernel reads.
  Buffer weights(const FragmentPieces& pieces, DeviceWeightLayout layout, std::uint64_t key) {
    Buffer out = allocate(fragment_bytes(pieces));
    if (status_) status_ = random_.fill_fragments(pieces, key, out.as<std::uint8_t>(), stream_);
    if (layout != DeviceWeightLayout::kFragment16x64) change_layout(pieces, layout, out);
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
  // number(i) for each.
  template <class Number>
  Buffer floats(std::size_t count, const Number& number) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = number(i);
    if (!status_) return {};
    auto buffer = to_device(std::span<const float>(values), stream_);
    if (buffer) return std::move(buffer).value();
    status_ = std::move(buffer).error();
    return {};
  }
  Buffer scales2(std::size_t count, std::uint64_t in_features, double rms, std::uint64_t key) {
    return floats(count, [&](std::size_t i) { return random_scale2(in_features, rms, key + i); });
  }
  [[nodiscard]] Status finish() {
    NVFP4_RETURN_IF_ERROR(status_);
    return runtime::synchronize(stream_);
  }

 private:
  // By way of the order of the file.
  void change_layout(const FragmentPieces& pieces, DeviceWeightLayout layout, const Buffer& packed) {
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
    const kernels::FragmentPacker& from = *kernels::device_packer(DeviceWeightLayout::kFragment16x64);
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

// Rows of unequal shards: shard i ends at the i-th of the numbers that divide a triangle of rows.
void set_shards(const kernels::DeviceLinearProblem& problem, double rms, std::uint64_t key,
                kernels::DeviceShardScales& shards) {
  shards.count = problem.num_shards;
  const std::uint64_t parts = std::uint64_t{problem.num_shards} * (problem.num_shards + 1) / 2;
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < problem.num_shards; ++i) {
    sum += i + 1;
    shards.end_rows[i] = static_cast<std::uint32_t>(problem.out_features * sum / parts);
    shards.scale2[i] = rms == 0 ? 1.0F : random_scale2(problem.in_features, rms, key + i);
  }
}

}  // namespace

Result<DeviceLinear> random_device_linear(const kernels::DeviceLinearProblem& problem, DeviceWeightLayout layout,
                                          std::uint64_t key, const std::string& name, DeviceStream stream) {
  Filler filler(name, stream);
  const std::size_t count = std::size_t{problem.out_features} * problem.in_features;
  DeviceLinear weight;
  weight.name = name;
  weight.problem = problem;
  double rms = 0;  // of elements without scales; 0: there is none
  switch (problem.weight) {
    case WeightFormat::kNvfp4:
      weight.layout = layout;
      weight.elements = filler.weights({1, problem.out_features, problem.in_features}, layout, key_of(key, 0));
      rms = kernels::kRandomFragmentRms;
      break;
    case WeightFormat::kFp8:
      weight.elements = filler.e4m3(count, key_of(key, 0));
      rms = kernels::kRandomE4m3Rms;
      break;
    default:  // no kernel takes another
      weight.elements = filler.bf16(count, 1 / std::sqrt(static_cast<double>(problem.in_features)), key_of(key, 0));
  }
  set_shards(problem, rms, key_of(key, 0), weight.shards);
  const bool is_fp8 = problem.activation == Activation::kFp8Static || problem.activation == Activation::kFp8Dynamic;
  weight.input_scale =
      is_fp8 ? input_scale_of(kE4m3Max, QuantizerRule::kModelOpt) : input_scale_of(kNvfp4Range, problem.input_rule);
  if (problem.per_row_scale) {
    weight.row_scales = filler.scales2(problem.out_features, problem.in_features, rms, key_of(key, 1));
  }
  if (problem.has_bias) {
    weight.bias = filler.floats(problem.out_features, [&](std::size_t i) { return 2 * unit(key_of(key, 2) + i) - 1; });
  }
  if (problem.has_pre_quant_scale) {
    weight.pre_quant_scale = filler.floats(
        problem.in_features, [&](std::size_t i) { return mix_bits(key_of(key, 3) + i) % 2 == 0 ? 0.5F : 2.0F; });
  }
  NVFP4_RETURN_IF_ERROR(filler.finish());
  return weight;
}

Result<DeviceExpertWeights> random_device_experts(const kernels::MoeProblem& problem, DeviceWeightLayout layout,
                                                  std::uint64_t key, const std::string& name, DeviceStream stream) {
  Filler filler(name, stream);
  const std::size_t num_experts = problem.num_experts;
  constexpr double kRms = kernels::kRandomFragmentRms;
  DeviceExpertWeights out;
  out.layout = layout;
  out.gate_up =
      filler.weights({problem.num_experts, problem.intermediate, problem.hidden, kNvfp4BlockSize, problem.gated()},
                     layout, key_of(key, 0));
  out.down = filler.weights({problem.num_experts, problem.hidden, problem.intermediate}, layout, key_of(key, 1));
  if (problem.gated()) out.gate_scale2 = filler.scales2(num_experts, problem.hidden, kRms, key_of(key, 2));
  out.up_scale2 = filler.scales2(num_experts, problem.hidden, kRms, key_of(key, 3));
  out.down_scale2 = filler.scales2(num_experts, problem.intermediate, kRms, key_of(key, 4));
  if (problem.activation == Activation::kNvfp4Static) {
    const float usual = input_scale_of(kNvfp4Range, problem.input_rule);
    out.fc1_input_scale = filler.floats(num_experts, [&](std::size_t i) {
      return problem.one_fc1_input_scale ? usual : usual * (1 + unit(key_of(key, 5) + i));
    });
    out.fc2_input_scale = filler.floats(num_experts, [&](std::size_t /*i*/) { return usual; });
  }
  NVFP4_RETURN_IF_ERROR(filler.finish());
  return out;
}

}  // namespace nvfp4::prepare
