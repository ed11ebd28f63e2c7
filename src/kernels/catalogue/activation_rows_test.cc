// The vector quantisers of inputs, bit for bit against the scalar ones.
#include "kernels/cpu_shared/activation_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "formats/bf16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/nvfp4_block.h"
#include "formats/quantize_row.h"
#if NVFP4_X86
#include "kernels/cpu_avx2/activation_rows.h"
#include "kernels/cpu_avx512/activation_rows.h"
#endif

namespace nvfp4::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr std::array kRules = {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors};
// Borders between E2M1 magnitudes.
constexpr std::array kBorders = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5.0F};

struct Quantizer {
  InstructionSet set;
  float (*quantize)(const LinearWeight&, Activation, std::uint32_t, const float*, float*, std::int8_t*, std::uint8_t*);
  float (*round)(const LinearWeight&, Activation, std::uint32_t, const float*, float*);
};

std::vector<Quantizer> quantizers() {
  std::vector<Quantizer> found;
#if NVFP4_X86
  found.push_back({InstructionSet::kAvx2, cpu_avx2::quantize_nvfp4_row, cpu_avx2::round_row});
  found.push_back({InstructionSet::kAvx512, cpu_avx512::quantize_nvfp4_row, cpu_avx512::round_row});
#endif
  std::erase_if(found, [](const Quantizer& quantizer) { return !runs_here(quantizer.set); });
  return found;
}

float offset(float value, int ulps) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) + static_cast<std::uint32_t>(ulps));
}

bool same_number(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// One row through every quantiser.
class Row {
 public:
  explicit Row(std::size_t count) : x(count), codes_(count), scales_(count / kNvfp4BlockSize), packed_(count / 2) {
    actual_codes_ = codes_;
    actual_scales_ = scales_;
    scratch_ = rounded_ = actual_rounded_ = x;
    weight.in_features = count;
  }
  void set_scale(QuantizerRule rule, float scale) {
    input_scale_ = scale;
    weight.input_rule = rule;
    weight.input_scale = {&input_scale_, 1};
  }

  // The name of an instruction set that differs, and in what; else empty.
  std::string difference(const std::vector<Quantizer>& sets, Activation activation) {
    const bool is_nvfp4 = activation == Activation::kNvfp4Static || activation == Activation::kNvfp4Dynamic;
    const float multiplier = is_nvfp4 ? quantize(activation) : 0.0F;
    const float round_multiplier = cpu_shared::round_row(weight, activation, 0, x.data(), rounded_.data());
    for (const Quantizer& set : sets) {
      const std::string name(instruction_set_name(set.set));
      if (is_nvfp4) {
        const float actual =
            set.quantize(weight, activation, 0, x.data(), scratch_.data(), actual_codes_.data(), actual_scales_.data());
        if (!same_number(actual, multiplier)) return name + ": multiplier " + std::to_string(actual);
        if (actual_scales_ != scales_) return name + ": block scales";
        if (actual_codes_ != codes_) return name + ": codes";
      }
      const float actual = set.round(weight, activation, 0, x.data(), actual_rounded_.data());
      if (!same_number(actual, round_multiplier)) return name + ": multiplier of rounded " + std::to_string(actual);
      if (!same_bits(actual_rounded_, rounded_)) return name + ": rounded";
      actual_rounded_ = x;
      set.round(weight, activation, 0, actual_rounded_.data(), actual_rounded_.data());
      if (!same_bits(actual_rounded_, rounded_)) return name + ": rounded in place";
    }
    return "";
  }

  LinearWeight weight;
  std::vector<float> x;

 private:
  // By the library's quantiser.
  float quantize(Activation activation) {
    float amax = 0.0F;
    for (std::size_t k = 0; k < x.size(); ++k) {
      scratch_[k] = weight.pre_quant_scale.empty() ? x[k] : x[k] * weight.pre_quant_scale[k];
      amax = std::isnan(scratch_[k]) ? kInfinity : std::max(amax, std::fabs(scratch_[k]));
    }
    if (std::isinf(amax)) {
      std::fill(codes_.begin(), codes_.end(), std::int8_t{0});
      std::fill(scales_.begin(), scales_.end(), std::uint8_t{0});
      return kNan;
    }
    const bool is_static = activation == Activation::kNvfp4Static;
    const QuantizerRule rule = is_static ? weight.input_rule : QuantizerRule::kModelOpt;
    float scale2 = is_static ? input_scale_ : amax / kNvfp4Range;
    if (!is_static && scale2 == 0.0F) scale2 = 1.0F;
    quantize_activation_row(scratch_, rule, scale2, packed_, scales_);
    for (std::size_t k = 0; k < x.size(); ++k) codes_[k] = decode_e2m1_doubled(unpack_e2m1(packed_.data(), k));
    return rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2;
  }

  float input_scale_ = 1.0F;
  std::vector<std::int8_t> codes_, actual_codes_;
  std::vector<std::uint8_t> scales_, actual_scales_, packed_;
  std::vector<float> scratch_, rounded_, actual_rounded_;
};

class ActivationRows : public testing::Test {
 protected:
  void SetUp() override {
    if (sets.empty()) GTEST_SKIP() << "no vector quantiser runs on this processor";
  }
  // 2^low to 2^high, any mantissa.
  float positive(int low, int high) {
    const auto exponent = static_cast<std::uint32_t>(127 + low + static_cast<int>(bits() % (high - low + 1)));
    return std::bit_cast<float>(exponent << 23U | static_cast<std::uint32_t>(bits() & 0x7FFFFFU));
  }
  float signed_value(int low, int high) { return (bits() & 1U) != 0 ? positive(low, high) : -positive(low, high); }
  // A value whose quotient by the multiplier is close to a border between codes.
  float near_border(float multiplier) {
    const float value = offset(kBorders[bits() % kBorders.size()] * multiplier, static_cast<int>(bits() % 7) - 3);
    return (bits() & 1U) != 0 ? value : -value;
  }
  // A block of one kind or the other, for a multiplier of about `unit` where the block scale is 1.
  void fill_block(float* block, float unit, std::uint64_t kind) {
    const float scale = decode_e4m3(static_cast<std::uint8_t>(1 + bits() % 0x7E));
    for (std::size_t k = 0; k < kNvfp4BlockSize; ++k) {
      switch (kind) {
        case 0:  // close to borders, if the first gives the block that scale
          block[k] = k == 0 ? 6.0F * unit * scale : near_border(scale * unit);
          break;
        case 1:  // BF16 numbers, among them many ties
          block[k] = round_to_bf16(signed_value(-3, 2) * unit * scale);
          break;
        case 2:
          block[k] = signed_value(-12, 2) * unit * scale;
          break;
        case 3:
          block[k] = (bits() & 3U) == 0 ? 0.0F : signed_value(-1, 0) * 0x1p-126F;
          break;
        default:  // far outside
          block[k] = signed_value(-30, 30) * unit;
      }
    }
  }
  // Rows of 40 blocks: whole groups of blocks and a rest.
  void expect_random_blocks(QuantizerRule rule, std::uint64_t num_blocks) {
    constexpr std::uint64_t kBlocks = 40;
    Row row(kBlocks * kNvfp4BlockSize);
    for (std::uint64_t done = 0; done < num_blocks; done += kBlocks) {
      const float unit = bits() % 32 == 0 ? positive(-66, 66) : positive(-16, 4);
      const std::uint64_t num_kinds = bits() % 64 == 0 ? 64 : 63;  // the last is for the scalar code
      row.set_scale(rule, rule == QuantizerRule::kModelOpt ? unit : 1.0F / unit);
      for (std::uint64_t block_idx = 0; block_idx < kBlocks; ++block_idx) {
        const std::uint64_t draw = bits() % num_kinds;
        fill_block(&row.x[block_idx * kNvfp4BlockSize], unit, draw < 60 ? draw / 20 : draw / 63 + 3);
      }
      ASSERT_EQ(row.difference(sets, Activation::kNvfp4Static), "") << unit << " after " << done;
    }
  }
  // Values around every border under this input scale.
  void expect_borders(Row& row, QuantizerRule rule, float scale2) {
    const float multiplier = rule == QuantizerRule::kModelOpt ? scale2 : 1.0F / scale2;
    row.set_scale(rule, scale2);
    std::size_t next = 0;
    for (std::size_t k = 0; k < row.x.size(); ++k) {
      if (k % kNvfp4BlockSize == 0) {  // makes the block scale 1
        row.x[k] = 6.0F * multiplier;
        continue;
      }
      const float value = offset(kBorders[next / 5 % kBorders.size()] * multiplier, static_cast<int>(next % 5) - 2);
      row.x[k] = k % 2 == 0 ? value : -value;
      ++next;
    }
    ASSERT_EQ(row.difference(sets, Activation::kNvfp4Static), "") << scale2;
  }
  // For input scales with every `stride`-th mantissa, and those just below powers of two, which are the hardest.
  void expect_borders_of_multipliers(QuantizerRule rule, std::uint32_t stride) {
    constexpr std::uint32_t kMantissas = 1U << 23U;
    Row row(std::size_t{3} * kNvfp4BlockSize);
    for (std::uint32_t mantissa = 0; mantissa < kMantissas; mantissa += mantissa + 64 < kMantissas ? stride : 1) {
      const std::uint32_t exponent = (mantissa & 1U) != 0 ? 0x3C000000U : 0x40800000U;
      ASSERT_NO_FATAL_FAILURE(expect_borders(row, rule, std::bit_cast<float>(exponent | mantissa)));
    }
  }

  std::vector<Quantizer> sets = quantizers();
  std::mt19937_64 bits{11};
};

// A power of two in the multiplier moves all numbers alike, so mantissas are all that there is to try.
TEST_F(ActivationRows, CodesAreThoseOfTheRoundedQuotientAtEveryBorder) {
  for (const QuantizerRule rule : kRules) expect_borders_of_multipliers(rule, 61);
}
TEST_F(ActivationRows, DISABLED_CodesAreThoseOfTheRoundedQuotientForEveryMultiplier) {
  for (const QuantizerRule rule : kRules) expect_borders_of_multipliers(rule, 1);
}

TEST_F(ActivationRows, RandomBlocks) {
  for (const QuantizerRule rule : kRules) expect_random_blocks(rule, 100'000);
}
// A hundred million blocks for each rule, in parts that processes can share (GTEST_TOTAL_SHARDS).
class HundredMillionBlocks : public ActivationRows,
                             public testing::WithParamInterface<std::tuple<QuantizerRule, std::uint64_t>> {};
TEST_P(HundredMillionBlocks, DISABLED_AreQuantizedAlike) {
  const auto [rule, part] = GetParam();
  bits.seed(100 + part);
  expect_random_blocks(rule, 5'000'000);
}
INSTANTIATE_TEST_SUITE_P(Parts, HundredMillionBlocks,
                         testing::Combine(testing::ValuesIn(kRules), testing::Range<std::uint64_t>(0, 20)));

TEST_F(ActivationRows, BlockScalesAtEveryBorderOfE4m3) {
  Row row(std::size_t{16} * kNvfp4BlockSize);
  for (const QuantizerRule rule : kRules) {
    for (const float unit : {1.0F, 0x1.23456p-9F, 0x1.FFFFFEp5F, 0x1.000002p-64F}) {
      row.set_scale(rule, rule == QuantizerRule::kModelOpt ? unit : 1.0F / unit);
      for (std::uint8_t code = 0; code < 0x7E; ++code) {
        const float border = (decode_e4m3(code) + decode_e4m3(static_cast<std::uint8_t>(code + 1))) / 2;
        for (std::size_t k = 0; k < row.x.size(); ++k) {
          const auto block_idx = static_cast<int>(k / kNvfp4BlockSize);
          row.x[k] = offset(border * 6.0F * unit, block_idx - 8) / (k % 16 == 0 ? 1.0F : 1.0F + positive(-2, 3));
        }
        ASSERT_EQ(row.difference(sets, Activation::kNvfp4Static), "") << unit << " code " << int{code};
      }
    }
  }
}

constexpr std::array kEdgeValues = {0.0F,        -0.0F,    0x1p-149F, -0x1p-149F, 0x1.8p-148F, 0x1.FFFFFCp-127F,
                                    -0x1p-126F,  0x1p-75F, -0x1p-64F, 0x1p-30F,   -0.25F,      0.25F,
                                    0.75F,       -1.25F,   1.75F,     2.5F,       -3.5F,       5.0F,
                                    6.0F,        -7.0F,    9.0F,      -448.0F,    464.0F,      -2688.0F,
                                    0x1.8p12F,   -0x1p29F, 0x1p30F,   0x1p33F,    -0x1p64F,    0x1p100F,
                                    -0x1.8p127F, kLargest, -kLargest};
constexpr std::array kEdgeScales = {0.0F,     0x1p-149F,      0x1.8p-140F, 0x1p-126F,     0x1.FFFFFEp-65F, 0x1p-64F,
                                    0x1p-40F, 0x1.FFFFFEp-8F, 1.0F,        0x1.FFFFFEp0F, 0x1.8p20F,       0x1p64F,
                                    0x1p65F,  0x1p100F,       0x1.8p125F,  kLargest,      kInfinity};

// Rows of the edges up to a bound, so that rows of every size occur.
TEST_F(ActivationRows, EdgeValuesUnderEdgeScales) {
  for (const std::size_t num_blocks : {1, 3, 7, 8, 9, 16, 17, 33}) {
    Row row(num_blocks * kNvfp4BlockSize);
    for (const float scale : kEdgeScales) {
      for (const float bound : kEdgeValues) {
        for (float& value : row.x) {
          do value = kEdgeValues[bits() % kEdgeValues.size()];
          while (std::fabs(value) > std::fabs(bound));
        }
        for (const QuantizerRule rule : kRules) {
          row.set_scale(rule, scale);
          EXPECT_EQ(row.difference(sets, Activation::kNvfp4Static), "") << scale << " up to " << bound;
        }
        for (const Activation activation :
             {Activation::kNvfp4Dynamic, Activation::kFp8Static, Activation::kFp8Dynamic, Activation::k16Bit}) {
          EXPECT_EQ(row.difference(sets, activation), "") << scale << " up to " << bound;
        }
      }
    }
  }
}

TEST_F(ActivationRows, NumbersThatAreNotFiniteTakeTheWholeRow) {
  for (const float value : {kInfinity, -kInfinity, kNan, -kNan}) {
    for (const std::size_t k : {0, 7, 200, 319}) {
      Row row(320);
      row.set_scale(QuantizerRule::kModelOpt, 0.01F);
      for (float& x : row.x) x = signed_value(-3, 3);
      row.x[k] = value;
      for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic, Activation::kFp8Static,
                                          Activation::kFp8Dynamic, Activation::k16Bit}) {
        EXPECT_EQ(row.difference(sets, activation), "") << value << " at " << k;
      }
    }
  }
}

TEST_F(ActivationRows, PreQuantScaleComesFirst) {
  for (const std::size_t num_blocks : {1, 5, 40}) {
    Row row(num_blocks * kNvfp4BlockSize);
    std::vector<float> factors(row.x.size());
    row.weight.pre_quant_scale = factors;
    for (int round = 0; round < 200; ++round) {
      for (float& x : row.x) x = signed_value(-8, 3);
      for (float& factor : factors) factor = positive(-2, 2);
      if (round % 20 == 0) row.x[3] = kLargest;  // the product is infinite
      for (const QuantizerRule rule : kRules) {
        row.set_scale(rule, round % 7 == 0 ? 0x1p-70F : positive(-8, 2));
        for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic, Activation::kFp8Static,
                                            Activation::kFp8Dynamic, Activation::k16Bit}) {
          EXPECT_EQ(row.difference(sets, activation), "");
        }
      }
    }
  }
}

// FP8 and 16-bit layers may have any number of inputs.
TEST_F(ActivationRows, Fp8RowsOfAnyLength) {
  for (std::size_t count = 1; count < 150; ++count) {
    Row row(count);
    for (float& x : row.x) x = signed_value(-14, 10);
    row.set_scale(QuantizerRule::kModelOpt, positive(-4, 2));
    for (const Activation activation : {Activation::kFp8Static, Activation::kFp8Dynamic, Activation::k16Bit}) {
      EXPECT_EQ(row.difference(sets, activation), "") << count;
    }
  }
}

}  // namespace
}  // namespace nvfp4::kernels
