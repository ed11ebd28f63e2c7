// The activation quantiser of the GPU kernels, compiled for the host, against the quantiser of formats/: bit for bit,
// all BF16 numbers under every block scale, and random rows of every kind.
#include "kernels/cuda_shared/quantize_activations_block.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "formats/bf16.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"

namespace nvfp4::kernels {
namespace {

constexpr std::array kRules = {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors};

float magnitude_of(std::span<const float> values) {
  float amax = 0.0F;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  return amax;
}

// Numbers code * block scale by the reference, of rows of whole blocks.
std::vector<float> reference_numbers(std::span<const float> values, QuantizerRule rule, float scale2) {
  std::vector<std::uint8_t> codes(values.size() / 2);
  std::vector<std::uint8_t> scales(values.size() / kNvfp4BlockSize);
  quantize_activation_row(values, rule, scale2, codes, scales);
  std::vector<float> out(values.size());
  for (std::size_t k = 0; k < values.size(); ++k) {
    out[k] = decode_e2m1(unpack_e2m1(codes.data(), k)) * decode_e4m3(scales[k / kNvfp4BlockSize]);
  }
  return out;
}

// The same by the kernels' functions: round() of float32 values, and round_block() where they are BF16 numbers.
std::vector<float> rounded_values(std::span<const float> values, const RowScale& row) {
  std::vector<float> out;
  for (std::size_t begin = 0; begin < values.size(); begin += kQuantizedBlock) {
    const auto block = values.subspan(begin, kQuantizedBlock);
    const BlockScale scale = BlockScale::from_largest(row, magnitude_of(block));
    for (const float value : block) out.push_back(scale.round(value));
  }
  return out;
}
std::vector<float> rounded_words(std::span<const float> values, const RowScale& row) {
  std::vector<float> out;
  for (std::size_t begin = 0; begin < values.size(); begin += kQuantizedBlock) {
    std::uint32_t words[8];
    std::uint32_t rounded[8];
    for (std::size_t i = 0; i < 8; ++i) {
      words[i] = encode_bf16(values[begin + 2 * i]) | static_cast<std::uint32_t>(encode_bf16(values[begin + 2 * i + 1]))
                                                          << 16U;
    }
    const auto amax = static_cast<std::uint16_t>(largest_magnitude_bits(words));
    round_block(row, decode_bf16(amax), words, rounded);
    for (const std::uint32_t word : rounded) {
      out.push_back(decode_bf16(static_cast<std::uint16_t>(word & 0xFFFFU)));
      out.push_back(decode_bf16(static_cast<std::uint16_t>(word >> 16U)));
    }
  }
  return out;
}

// And round_floats(), of eight.
std::vector<float> rounded_octets(std::span<const float> values, const RowScale& row) {
  std::vector<float> out;
  for (std::size_t begin = 0; begin < values.size(); begin += 8) {
    const auto block = values.subspan(begin / kQuantizedBlock * kQuantizedBlock, kQuantizedBlock);
    std::uint32_t bits[8];
    std::uint32_t rounded[4];
    for (std::size_t i = 0; i < 8; ++i) bits[i] = float_bits(values[begin + i]);
    round_floats(BlockScale::from_largest(row, magnitude_of(block)), bits, rounded);
    for (const std::uint32_t word : rounded) {
      out.push_back(float_from_bits(word << 16U));
      out.push_back(float_from_bits(word & 0xFFFF0000U));
    }
  }
  return out;
}

void expect_same_bits(std::span<const float> found, std::span<const float> expected, std::span<const float> values,
                      QuantizerRule rule, float scale2) {
  for (std::size_t k = 0; k < found.size(); ++k) {
    ASSERT_EQ(float_bits(found[k]), float_bits(expected[k]))
        << std::hexfloat << values[k] << " in a block up to "
        << magnitude_of(values.subspan(k / kNvfp4BlockSize * kNvfp4BlockSize, kNvfp4BlockSize)) << ", scale2 " << scale2
        << (rule == QuantizerRule::kModelOpt ? " multiplies" : " divides") << ": " << found[k] << " for "
        << expected[k];
  }
}

void expect_exact(std::span<const float> values, QuantizerRule rule, float scale2, bool are_bf16) {
  const RowScale row = RowScale::from_stored(rule, scale2);
  const std::vector<float> expected = reference_numbers(values, rule, scale2);
  expect_same_bits(rounded_values(values, row), expected, values, rule, scale2);
  expect_same_bits(rounded_octets(values, row), expected, values, rule, scale2);
  if (are_bf16) expect_same_bits(rounded_words(values, row), expected, values, rule, scale2);
}

class RandomRows {
 public:
  explicit RandomRows(std::uint64_t seed) : bits_(seed) {}

  std::uint64_t bits() { return bits_(); }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(bits_); }
  // Any finite float32 number.
  float any() {
    for (;;) {
      const float value = float_from_bits(static_cast<std::uint32_t>(bits_()));
      if (std::isfinite(value)) return value;
    }
  }
  // Blocks of one size each, with zeros of both signs.
  std::vector<float> row(std::size_t num_blocks, float least_power, float largest_power, bool are_bf16) {
    std::vector<float> values;
    for (std::size_t b = 0; b < num_blocks; ++b) {
      const float unit = std::exp2(uniform(least_power, largest_power));
      for (std::size_t k = 0; k < kQuantizedBlock; ++k) {
        float value = unit * uniform(-1.0F, 1.0F);
        if (bits_() % 16 == 0) value = bits_() % 2 == 0 ? -0.0F : 0.0F;
        if (bits_() % 64 == 0) value *= 0x1p-40F;
        if (are_bf16) value = round_to_bf16(value);
        values.push_back(std::isfinite(value) ? value : 1.0F);
      }
    }
    return values;
  }

 private:
  std::mt19937_64 bits_;
};

// A block holds one large number that decides its scale, and 15 of the numbers to round.
TEST(DeviceQuantizer, EveryBf16NumberUnderEveryBlockScale) {
  RandomRows random(1);
  for (const QuantizerRule rule : kRules) {
    for (const float scale2 : {1.0F, 0.0371F, random.uniform(0.0001F, 0.01F), 0x1.234567p+9F, 0x1.FFFFFEp-24F}) {
      for (std::uint32_t code = 1; code <= 0x7E; ++code) {
        const float scale = decode_e4m3(static_cast<std::uint8_t>(code));
        const float largest = round_to_bf16(rule == QuantizerRule::kModelOpt ? scale * 6 * scale2 : scale * 6 / scale2);
        const auto end = encode_bf16(largest);
        std::vector<float> values;
        for (std::uint32_t bits = 0; bits < end; ++bits) {
          if (values.size() % kQuantizedBlock == 0) values.push_back(largest);
          values.push_back(decode_bf16(static_cast<std::uint16_t>(bits | bits % 2 << 15U)));
        }
        values.resize((values.size() + kQuantizedBlock - 1) / kQuantizedBlock * kQuantizedBlock);
        expect_exact(values, rule, scale2, true);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Quotients that lie on the borders between two codes, or as near as float32 comes.
TEST(DeviceQuantizer, TiesAndTheirNeighbours) {
  constexpr std::array kBorders = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  RandomRows random(2);
  for (int round = 0; round < 60000; ++round) {
    const float value = round_to_bf16(std::exp2(random.uniform(-20.0F, 12.0F)));
    const float border = kBorders[random.bits() % kBorders.size()];
    const float scale = decode_e4m3(static_cast<std::uint8_t>(1 + random.bits() % 0x7E));
    for (const QuantizerRule rule : kRules) {
      const bool multiplies = rule == QuantizerRule::kModelOpt;
      float scale2 = multiplies ? value / border / scale : scale / (value / border);
      for (std::uint64_t step = random.bits() % 5; step > 2; --step) scale2 = std::nextafter(scale2, 0.0F);
      for (std::uint64_t step = random.bits() % 3; step > 0; --step) scale2 = std::nextafter(scale2, 1e30F);
      std::vector<float> values(kQuantizedBlock, value);
      values[1] = -value;
      values[2] = round_to_bf16(multiplies ? scale * 6 * scale2 : scale * 6 / scale2);  // decides the scale
      values[3] = std::nextafter(value, 0.0F);
      expect_exact(values, rule, scale2, false);
      values[3] = 0.0F;
      expect_exact(values, rule, scale2, true);
      if (HasFatalFailure()) return;
    }
  }
}

// The same from the other side: float32 values next to the products of a multiplier and a border.
TEST(DeviceQuantizer, Float32ValuesBesideBorders) {
  constexpr std::array kBorders = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};
  RandomRows random(6);
  for (int round = 0; round < 100000; ++round) {
    const QuantizerRule rule = kRules[random.bits() % 2];
    const float scale = decode_e4m3(static_cast<std::uint8_t>(1 + random.bits() % 0x7E));
    const float scale2 = std::exp2(random.uniform(-30.0F, 30.0F));
    const float multiplier = rule == QuantizerRule::kModelOpt ? scale * scale2 : scale / scale2;
    std::vector<float> values(kQuantizedBlock);
    values[0] = 6 * multiplier;  // decides the scale
    for (std::size_t k = 1; k < kQuantizedBlock; ++k) {
      values[k] = kBorders[random.bits() % kBorders.size()] * multiplier;
      const float end = random.bits() % 2 == 0 ? 0.0F : 1e30F;
      for (std::uint64_t step = random.bits() % 4; step > 0; --step) values[k] = std::nextafter(values[k], end);
    }
    expect_exact(values, rule, scale2, false);
    if (HasFatalFailure()) return;
  }
}

TEST(DeviceQuantizer, RandomRowsUnderUsualScales) {
  RandomRows random(3);
  for (int round = 0; round < 4000; ++round) {
    const float power = random.uniform(-14.0F, 14.0F);
    for (const QuantizerRule rule : kRules) {
      const bool multiplies = rule == QuantizerRule::kModelOpt;
      const float scale2 = std::exp2(multiplies ? power : -power);
      // From blocks whose scale is zero to blocks that saturate.
      expect_exact(random.row(32, power - 14.0F, power + 14.0F, true), rule, scale2, true);
      expect_exact(random.row(32, power - 14.0F, power + 14.0F, false), rule, scale2, false);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(DeviceQuantizer, AnyNumbersUnderAnyScales) {
  RandomRows random(4);
  for (int round = 0; round < 20000; ++round) {
    const float any = std::fabs(random.any());
    const float scale2 = round % 4 == 0 ? std::exp2(random.uniform(-70.0F, 70.0F)) : any == 0.0F ? 0x1p-149F : any;
    const float power = random.uniform(-150.0F, 128.0F);
    for (const QuantizerRule rule : kRules) {
      for (const bool are_bf16 : {false, true}) {
        expect_exact(random.row(4, power - 20.0F, power, are_bf16), rule, scale2, are_bf16);
        std::vector<float> values(2 * kQuantizedBlock);
        for (float& value : values) value = are_bf16 ? round_to_bf16(random.any()) : random.any();
        for (float& value : values) value = std::isfinite(value) ? value : 2.0F;
        expect_exact(values, rule, scale2, are_bf16);
      }
      if (HasFatalFailure()) return;
    }
  }
}

TEST(DeviceQuantizer, DynamicRowsTakeTheirOwnScale) {
  RandomRows random(5);
  for (int round = 0; round < 4000; ++round) {
    const float power = round % 2 == 0 ? random.uniform(-10.0F, 10.0F) : random.uniform(-149.0F, 128.0F);
    std::vector<float> values = random.row(8, power - 8.0F, power, true);
    if (round % 100 == 0) std::fill(values.begin(), values.end(), -0.0F);
    const float quotient = magnitude_of(values) / kNvfp4Range;
    const float scale2 = quotient == 0.0F ? 1.0F : quotient;
    const RowScale row = RowScale::from_largest(magnitude_of(values));
    ASSERT_EQ(row.multiplier(), scale2);
    const std::vector<float> expected = reference_numbers(values, QuantizerRule::kModelOpt, scale2);
    expect_same_bits(rounded_words(values, row), expected, values, QuantizerRule::kModelOpt, scale2);
    expect_same_bits(rounded_values(values, row), expected, values, QuantizerRule::kModelOpt, scale2);
    if (HasFatalFailure()) return;
  }
}

TEST(DeviceQuantizer, NanIsTheLargestMagnitude) {
  std::uint32_t words[8] = {};
  words[5] = 0x7F80'3F80U;  // 1, infinity
  EXPECT_EQ(largest_magnitude_bits(words), 0x7F80U);
  words[2] = 0xFF81'0000U;  // a NaN
  EXPECT_EQ(largest_magnitude_bits(words), 0x7F81U);
  words[5] = 0x7F7F'FF7FU;
  words[2] = 0;
  EXPECT_EQ(largest_magnitude_bits(words), 0x7F7FU);
}

TEST(DeviceQuantizer, AResultHasAtMostEightBits) {
  for (std::uint32_t code = 1; code <= 0x7E; ++code) {
    for (std::uint8_t element = 0; element < kE2m1NumCodes; ++element) {
      const float number = decode_e2m1(element) * decode_e4m3(static_cast<std::uint8_t>(code));
      EXPECT_EQ(float_bits(number) & 0xFFFFU, 0U);
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
