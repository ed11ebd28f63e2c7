// Random linear weights and inputs for tests, with a scale other than 1 wherever the contract has one.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "formats/bf16.h"
#include "formats/fp16.h"
#include "kernels/contract/linear.h"

namespace nvfp4::support {

struct LinearSpec {
  kernels::WeightFormat format = kernels::WeightFormat::kBF16;
  Activation activation = Activation::k16Bit;
  std::uint64_t out_features = 1;
  std::uint64_t in_features = 16;
  std::uint32_t num_experts = 1;
  std::uint32_t block_size = 16;  // of NVFP4
  std::uint32_t num_shards = 1;   // of unequal rows, where there are enough
  bool per_row_scale = false;
  QuantizerRule input_rule = QuantizerRule::kModelOpt;
  bool pre_quant_scale = false;
  bool bias = false;

  [[nodiscard]] bool has_input_scale() const {
    return activation == Activation::kNvfp4Static || activation == Activation::kFp8Static;
  }
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  [[nodiscard]] float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(bits_); }
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(bits_() % bound); }
  [[nodiscard]] std::vector<float> floats(std::size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = uniform(low, high);
    return values;
  }

 private:
  std::mt19937_64 bits_;
};

// Rows of unequal shards: 1, 2, 3, ... and the rest.
inline std::vector<std::uint64_t> unequal_shards(std::uint64_t num_rows, std::uint32_t num_shards) {
  std::vector<std::uint64_t> rows;
  for (std::uint64_t size = 1; rows.size() + 1 < num_shards && num_rows > size; ++size) {
    rows.push_back(size);
    num_rows -= size;
  }
  rows.push_back(num_rows);
  return rows;
}

struct RandomLinear {
  LinearSpec spec;
  std::vector<std::byte> elements;
  std::vector<std::uint8_t> block_scales;
  std::vector<std::uint64_t> shard_rows;
  std::vector<float> scale2, input_scale, pre_quant_scale, bias;

  RandomLinear(const LinearSpec& wanted, Random& random) : spec(wanted) {
    const std::uint64_t num_rows = spec.num_experts * spec.out_features;
    fill_elements(num_rows * spec.in_features, random);
    if (spec.format == kernels::WeightFormat::kNvfp4) shard_rows = unequal_shards(spec.out_features, spec.num_shards);
    if (spec.per_row_scale) {
      scale2 = random.floats(num_rows, 0.002F, 0.3F);
    } else if (spec.format == kernels::WeightFormat::kNvfp4 || spec.format == kernels::WeightFormat::kFp8) {
      scale2 = random.floats(spec.num_experts * std::max<std::size_t>(shard_rows.size(), 1), 0.002F, 0.3F);
    }
    if (spec.has_input_scale()) {
      // Multipliers under which inputs of [-4, 4] keep to the range, or its divisors; some saturate.
      input_scale = random.floats(spec.num_experts, 0.0008F, 0.003F);
      for (float& scale : input_scale) {
        if (spec.activation == Activation::kFp8Static) scale *= 6;
        if (spec.input_rule == QuantizerRule::kCompressedTensors) scale = 1 / scale;
      }
    }
    if (spec.pre_quant_scale) pre_quant_scale = random.floats(spec.in_features, 0.4F, 1.7F);
    if (spec.bias) bias = random.floats(spec.out_features, -2.0F, 2.0F);
  }

  [[nodiscard]] kernels::LinearWeight view() const {
    kernels::LinearWeight weight;
    weight.format = spec.format;
    weight.num_experts = spec.num_experts;
    weight.out_features = spec.out_features;
    weight.in_features = spec.in_features;
    weight.block_size = spec.format == kernels::WeightFormat::kNvfp4 ? spec.block_size : 0;
    weight.elements = elements.data();
    weight.block_scales = block_scales.data();
    weight.shard_rows = shard_rows;
    weight.scale2 = scale2;
    weight.per_row_scale = spec.per_row_scale;
    weight.input_scale = input_scale;
    weight.input_rule = spec.input_rule;
    weight.pre_quant_scale = pre_quant_scale;
    weight.bias = bias;
    return weight;
  }

  [[nodiscard]] kernels::LinearProblem problem() const {
    return {spec.format, spec.activation, spec.out_features, spec.in_features, spec.num_experts, view().block_size};
  }

 private:
  void fill_elements(std::uint64_t count, Random& random) {
    elements.resize(count * kernels::bits_per_weight(spec.format) / 8);
    switch (spec.format) {
      case kernels::WeightFormat::kF32:
        return store(count, [&] { return random.uniform(-1, 1); });
      case kernels::WeightFormat::kF16:
        return store(count, [&] { return encode_fp16(random.uniform(-1, 1)); });
      case kernels::WeightFormat::kBF16:
        return store(count, [&] { return encode_bf16(random.uniform(-1, 1)); });
      case kernels::WeightFormat::kFp8:
        // Any byte but the NaNs.
        return store(count, [&] { return static_cast<std::uint8_t>(random.below(127) | random.below(2) << 7U); });
      case kernels::WeightFormat::kNvfp4:
        store(count / 2, [&] { return static_cast<std::uint8_t>(random.below(256)); });
        // Block scales from 2^-3 to 8, and now and then any at all.
        block_scales.resize(count / spec.block_size);
        for (std::uint8_t& scale : block_scales) {
          scale = static_cast<std::uint8_t>(random.below(20) == 0 ? random.below(127) : 0x20 + random.below(0x31));
        }
    }
  }
  template <class Next>
  void store(std::uint64_t count, Next next) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto value = next();
      std::memcpy(elements.data() + i * sizeof(value), &value, sizeof(value));
    }
  }
};

// Offsets [experts + 1] of num_rows rows, some experts without any: the first, if there are several, and those that
// chance leaves out.
inline std::vector<std::uint32_t> random_offsets(std::uint32_t num_rows, std::uint32_t num_experts, Random& random) {
  std::vector<std::uint32_t> counts(num_experts, 0);
  for (std::uint32_t row = 0; row < num_rows; ++row) {
    ++counts[num_experts == 1 ? 0 : 1 + random.below(num_experts - 1)];
  }
  std::vector<std::uint32_t> offsets{0};
  for (const std::uint32_t count : counts) offsets.push_back(offsets.back() + count);
  return offsets;
}

}  // namespace nvfp4::support
