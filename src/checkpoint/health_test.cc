#include "checkpoint/health.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/checkpoint_builder.h"
#include "support/temporary_directory.h"

namespace nvfp4::checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Bytes = std::vector<std::uint8_t>;

constexpr std::string_view kNvfp4Config =
    R"({"producer": {"name": "modelopt", "version": "0.47.0"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}})";
constexpr std::string_view kFp8Config =
    R"({"producer": {"name": "modelopt", "version": "0.47.0"}, "quantization": {"quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"}})";

// A checkpoint of one file in a directory of its own.
class Model {
 public:
  template <class T>
  void add(std::string_view name, std::string_view dtype, const std::vector<std::uint64_t>& shape,
           const std::vector<T>& values) {
    tensors_.add_values(name, dtype, shape, values);
  }
  void add_scalar(const std::string& name, float value) { add(name, "F32", {}, std::vector{value}); }

  [[nodiscard]] std::filesystem::path file() const { return directory_.path() / "model.safetensors"; }
  [[nodiscard]] Checkpoint open(std::string_view quant_config) const {
    directory_.write("config.json", R"({"model_type": "llama"})");
    if (!quant_config.empty()) directory_.write("hf_quant_config.json", quant_config);
    directory_.write("model.safetensors", tensors_.file());
    auto opened = Checkpoint::open(directory_.path(), {.load_mode = LoadMode::kRead});
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().to_string());
    return std::move(opened).value();
  }
  [[nodiscard]] HealthReport check(std::string_view quant_config = kNvfp4Config, std::uint32_t num_threads = 1) const {
    const Checkpoint checkpoint = open(quant_config);
    auto report = check_health(checkpoint, {.num_threads = num_threads});
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().to_string());
    return std::move(report).value();
  }

 private:
  support::TemporaryDirectory directory_;
  support::SafetensorsText tensors_;
};

// An NVFP4 weight without a flaw, to be given one.
struct Weight {
  std::uint64_t rows = 128;
  std::uint64_t k = 1024;
  Bytes codes = Bytes(rows * k / 2, 0x21);
  Bytes scales = Bytes(rows * k / 16, 0x38);
  float scale2 = 1e-4F;
  float input_scale = 1e-3F;

  void add_to(Model& model, const std::string& module) const {
    model.add(module + ".weight", "U8", {rows, k / 2}, codes);
    model.add(module + ".weight_scale", "F8_E4M3", {rows, k / 16}, scales);
    model.add_scalar(module + ".weight_scale_2", scale2);
    if (input_scale != 0) model.add_scalar(module + ".input_scale", input_scale);
  }
};

const std::string kModule = "model.layers.0.mlp.down_proj";

HealthReport check_one(const Weight& weight) {
  Model model;
  weight.add_to(model, kModule);
  return model.check();
}

std::vector<HealthRule> rules_of(const std::vector<HealthFinding>& findings) {
  std::vector<HealthRule> rules;
  for (const HealthFinding& finding : findings) rules.push_back(finding.rule);
  return rules;
}

TEST(Health, SoundWeightHasNoFindings) {
  const HealthReport report = check_one({});
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_EQ(report.num_files, 1U);
  EXPECT_EQ(report.num_tensors, 4U);
  EXPECT_EQ(report.totals, (HealthTotals{.num_weights = 1, .num_bytes = 65536 + 8192, .num_blocks = 8192}));
  ASSERT_EQ(report.kinds.size(), 1U);
  EXPECT_EQ(report.kinds[0].name, "model.layers.*.mlp.down_proj.weight");
  EXPECT_EQ(report.kinds[0].scheme, "nvfp4_w4a4");
}

struct ShareCase {
  HealthRule rule;
  std::uint64_t most;                 // of 8192 blocks that is no finding yet
  std::optional<std::uint8_t> scale;  // nothing: the codes are made zero
};
class HealthShares : public testing::TestWithParam<ShareCase> {};

TEST_P(HealthShares, BothSidesOfTheLimit) {
  const auto with = [&](std::uint64_t count) {
    Weight weight;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t block = 8191 - i;
      if (GetParam().scale) {
        weight.scales[block] = *GetParam().scale;
      } else {
        std::fill_n(weight.codes.begin() + static_cast<std::ptrdiff_t>(block * 8), 8, std::uint8_t{0x80});
      }
    }
    return check_one(weight);
  };
  EXPECT_THAT(with(GetParam().most).findings, IsEmpty());
  const HealthReport report = with(GetParam().most + 1);
  EXPECT_THAT(rules_of(report.findings), ElementsAre(GetParam().rule));
  EXPECT_THAT(report.findings[0].message, HasSubstr(fmt::format("{} of 8192", GetParam().most + 1)));
  EXPECT_EQ(report.findings[0].name, kModule + (GetParam().scale ? ".weight_scale" : ".weight"));
  const HealthTotals& totals = report.totals;
  EXPECT_EQ(totals.num_zero_scale_blocks + totals.num_zero_code_blocks + totals.num_saturated_scales +
                totals.num_subnormal_scales,
            GetParam().most + 1);
}
INSTANTIATE_TEST_SUITE_P(Rules, HealthShares,
                         testing::Values(ShareCase{HealthRule::kZeroScales, 81, std::uint8_t{0x00}},
                                         ShareCase{HealthRule::kZeroCodes, 4096, std::nullopt},
                                         ShareCase{HealthRule::kSaturatedScales, 819, std::uint8_t{0x7E}},
                                         ShareCase{HealthRule::kSubnormalScales, 819, std::uint8_t{0x07}}));

TEST(Health, AFewBlocksOfATinyWeightAreNoShare) {
  const auto with = [](std::size_t count) {
    Weight weight{.rows = 4};  // 256 blocks
    std::fill_n(weight.scales.begin(), count, std::uint8_t{0x7E});
    return rules_of(check_one(weight).findings);
  };
  EXPECT_THAT(with(63), IsEmpty());
  EXPECT_THAT(with(64), ElementsAre(HealthRule::kSaturatedScales));
}

TEST(Health, BlockScaleNanAndSign) {
  for (const std::uint8_t nan : Bytes{0x7F, 0xFF}) {
    Weight weight;
    weight.scales[3 * 64 + 5] = nan;
    weight.scales[70 * 64 + 1] = nan;
    const HealthReport report = check_one(weight);
    ASSERT_THAT(rules_of(report.findings), ElementsAre(HealthRule::kBlockScaleNan));
    EXPECT_EQ(report.findings[0].name, kModule + ".weight_scale");
    EXPECT_THAT(report.findings[0].message, HasSubstr("2 of 8192 block scales are NaN, the first at [3, 5]"));
    EXPECT_EQ(report.totals.num_nan, 2U);
  }
  for (const std::uint8_t negative : Bytes{0x80, 0x81, 0xFE}) {
    Weight weight;
    weight.scales[127 * 64 + 63] = negative;
    const HealthReport report = check_one(weight);
    ASSERT_THAT(rules_of(report.findings), ElementsAre(HealthRule::kBlockScaleSign));
    EXPECT_THAT(report.findings[0].message, HasSubstr("the first at [127, 63]"));
  }
}

TEST(Health, NanAndInfinityOfPlainTensors) {
  Model model;
  std::vector<std::uint16_t> norm(300, 0x3F80);
  model.add("model.norm.weight", "BF16", {300}, norm);
  norm[299] = 0x7F80;
  model.add("model.layers.0.input_layernorm.weight", "BF16", {300}, norm);
  // Beyond the first buffer and the first job: 6 MB.
  std::vector<float> embedding(1500 * 1000, 0.5F);
  embedding[1499 * 1000 + 7] = NAN;
  embedding[1499 * 1000 + 9] = -INFINITY;
  model.add("model.embed_tokens.weight", "F32", {1500, 1000}, embedding);
  const HealthReport report = model.check("");
  ASSERT_THAT(rules_of(report.findings), ElementsAre(HealthRule::kNan, HealthRule::kInfinity, HealthRule::kInfinity));
  EXPECT_EQ(report.findings[0].message, "1 of 1500000 elements are NaN, the first at [1499, 7]");
  EXPECT_EQ(report.findings[1].name, "model.layers.0.input_layernorm.weight");
  EXPECT_EQ(report.findings[1].message, "1 of 300 elements are infinite, the first at [299]");
  EXPECT_EQ(report.findings[2].message, "1 of 1500000 elements are infinite, the first at [1499, 9]");
  EXPECT_EQ(report.totals.num_nan, 1U);
  EXPECT_EQ(report.totals.num_infinite, 2U);
}

TEST(Health, TensorsOutsideOfTheTextModelAreReadToo) {
  Model model;
  model.add("visual.patch.weight", "F32", {2}, std::vector{0.0F, NAN});
  model.add("model.norm.weight", "F32", {1}, std::vector{1.0F});
  EXPECT_THAT(rules_of(model.check("").findings), ElementsAre(HealthRule::kNan));
}

TEST(Health, AllZero) {
  const auto plain = [](const std::vector<std::uint64_t>& shape, float last) {
    Model model;
    std::vector<float> values(64, -0.0F);
    values.back() = last;
    model.add("model.layers.0.mlp.gate.weight", "F32", shape, values);
    return rules_of(model.check("").findings);
  };
  EXPECT_THAT(plain({8, 8}, 0), ElementsAre(HealthRule::kAllZero));
  EXPECT_THAT(plain({8, 8}, 1e-45F), IsEmpty());
  EXPECT_THAT(plain({64}, 0), IsEmpty());  // biases and zero-centred norms may be zero

  Weight no_codes;
  std::fill(no_codes.codes.begin(), no_codes.codes.end(), std::uint8_t{0x08});
  EXPECT_THAT(rules_of(check_one(no_codes).findings), ElementsAre(HealthRule::kAllZero));
  no_codes.codes.back() = 0x10;
  EXPECT_THAT(rules_of(check_one(no_codes).findings), ElementsAre(HealthRule::kZeroCodes));
  Weight no_scales;
  std::fill(no_scales.scales.begin(), no_scales.scales.end(), std::uint8_t{0});
  EXPECT_THAT(rules_of(check_one(no_scales).findings), ElementsAre(HealthRule::kAllZero));
}

TEST(Health, Fp8RowScales) {
  const auto with = [](float scale, std::uint8_t code) {
    Model model;
    model.add(kModule + ".weight", "F8_E4M3", {4, 32}, Bytes(128, code));
    model.add(kModule + ".weight_scale", "F32", {4}, std::vector{1.0F, 1.0F, scale, 1.0F});
    return model.check(kFp8Config).findings;
  };
  EXPECT_THAT(with(0.5F, 0x38), IsEmpty());
  EXPECT_THAT(with(0.0F, 0x38), IsEmpty());
  for (const float bad : {NAN, INFINITY, -INFINITY, -1.0F}) {
    const auto findings = with(bad, 0x38);
    ASSERT_THAT(rules_of(findings), ElementsAre(HealthRule::kRowScale));
    EXPECT_THAT(findings[0].message, HasSubstr("the first at row 2"));
  }
  EXPECT_THAT(rules_of(with(1, 0xFF)), ElementsAre(HealthRule::kNan));
  EXPECT_THAT(with(1, 0x7E), IsEmpty());
  EXPECT_THAT(rules_of(with(1, 0x80)), ElementsAre(HealthRule::kAllZero));
}

TEST(Health, RatioOfFusedSecondLevelScales) {
  const auto gate_and_up = [](float gate, float up) {
    Model model;
    Weight{.rows = 4, .scale2 = gate}.add_to(model, "model.layers.0.mlp.experts.0.gate_proj");
    Weight{.rows = 4, .scale2 = up}.add_to(model, "model.layers.0.mlp.experts.0.up_proj");
    Weight{.rows = 4, .scale2 = 16}.add_to(model, "model.layers.0.mlp.experts.0.down_proj");
    Weight{.rows = 4, .scale2 = 64}.add_to(model, "model.layers.0.mlp.experts.1.gate_proj");
    return model.check();
  };
  const HealthReport equal = gate_and_up(0.25F, 0.25F);
  EXPECT_THAT(equal.findings, IsEmpty());
  EXPECT_THAT(equal.notes, IsEmpty());
  const HealthReport twice = gate_and_up(0.25F, 0.5F);
  EXPECT_THAT(twice.findings, IsEmpty());
  ASSERT_THAT(rules_of(twice.notes), ElementsAre(HealthRule::kScale2Ratio));
  EXPECT_THAT(twice.notes[0].message, HasSubstr("differ in 1 of 2 fused groups, by 2x"));
  const HealthReport more = gate_and_up(std::nextafter(0.5F, 1.0F), 0.25F);
  ASSERT_THAT(rules_of(more.findings), ElementsAre(HealthRule::kScale2Ratio));
  EXPECT_EQ(more.findings[0].name, "model.layers.0.mlp.experts.0.{gate and up}");

  Model attention;
  Weight{.rows = 4, .scale2 = 1}.add_to(attention, "model.layers.0.self_attn.q_proj");
  Weight{.rows = 4, .scale2 = 2}.add_to(attention, "model.layers.0.self_attn.k_proj");
  Weight{.rows = 4, .scale2 = 0.5F}.add_to(attention, "model.layers.0.self_attn.v_proj");
  EXPECT_THAT(rules_of(attention.check().findings), ElementsAre(HealthRule::kScale2Ratio));
}

TEST(Health, RatioOfTheHalvesOfStackedExperts) {
  Model model;
  const std::string prefix = "model.layers.0.mlp.experts.w13_";
  model.add(prefix + "weight", "U8", {2, 4, 16}, Bytes(128, 0x21));
  model.add(prefix + "weight_scale", "F8_E4M3", {2, 4, 2}, Bytes(16, 0x38));
  model.add(prefix + "weight_scale_2", "F32", {2, 2}, std::vector<float>{1, 1, 8, 2});  // experts differ by right
  model.add(prefix + "input_scale", "F32", {2}, std::vector<float>{1, 1});
  const HealthReport report = model.check();
  ASSERT_THAT(rules_of(report.findings), ElementsAre(HealthRule::kScale2Ratio));
  EXPECT_THAT(report.findings[0].message, HasSubstr("differ by 4x"));
}

TEST(Health, TheWorstOfARuleComesFirst) {
  Model model;
  for (const int layer : {0, 1, 2}) {
    Weight weight{.rows = 4};
    std::fill_n(weight.scales.begin(), layer == 1 ? 5 : 2, std::uint8_t{0x7F});
    weight.add_to(model, fmt::format("model.layers.{}.mlp.down_proj", layer));
  }
  const HealthReport report = model.check();
  ASSERT_EQ(report.findings.size(), 3U);
  EXPECT_THAT(report.findings[0].name, HasSubstr("layers.1."));
  EXPECT_THAT(report.findings[1].name, HasSubstr("layers.0."));
  EXPECT_THAT(report.findings[2].name, HasSubstr("layers.2."));
}

std::vector<HealthRule> rules_of_input_scales(const std::vector<float>& of_layers) {
  Model model;
  for (std::size_t i = 0; i < of_layers.size(); ++i) {
    Weight{.rows = 4, .input_scale = of_layers[i]}.add_to(model, fmt::format("model.layers.{}.mlp.down_proj", i));
  }
  return rules_of(model.check().findings);
}

TEST(Health, InputScales) {
  EXPECT_THAT(rules_of_input_scales({0x1p-30F}), IsEmpty());
  EXPECT_THAT(rules_of_input_scales({std::nextafter(0x1p-30F, 0.0F)}), ElementsAre(HealthRule::kInputScaleRange));
  EXPECT_THAT(rules_of_input_scales({0x1p10F}), IsEmpty());
  EXPECT_THAT(rules_of_input_scales({std::nextafter(0x1p10F, 2000.0F)}), ElementsAre(HealthRule::kInputScaleRange));

  EXPECT_THAT(rules_of_input_scales({1, 1, 1000}), IsEmpty());
  EXPECT_THAT(rules_of_input_scales({1, 1, std::nextafter(1000.0F, 2000.0F)}),
              ElementsAre(HealthRule::kInputScaleOutlier));
  EXPECT_THAT(rules_of_input_scales({1, 1, 0.00101F}), IsEmpty());
  EXPECT_THAT(rules_of_input_scales({1, 1, 0.00099F}), ElementsAre(HealthRule::kInputScaleOutlier));
  EXPECT_THAT(rules_of_input_scales({1, 0.0001F}), IsEmpty());
}

TEST(Health, ConflictsAndRepairsComeLast) {
  Model model;
  Weight{.rows = 4}.add_to(model, "model.layers.0.mlp.experts.0.down_proj");
  Weight{.rows = 4, .input_scale = 0}.add_to(model, "model.layers.0.mlp.experts.1.down_proj");  // without one: repaired
  model.add("model.layers.0.mlp.up_proj.weight", "BF16", {1, 1}, std::vector<std::uint16_t>{0x7FC0});
  EXPECT_THAT(rules_of(model.check().findings),
              ElementsAre(HealthRule::kNan, HealthRule::kConflict, HealthRule::kRepair));
}

TEST(Health, AWeightThatReadsAsZerosIsARepairOnly) {
  Weight weight{.scale2 = 0};
  std::fill(weight.scales.begin(), weight.scales.end(), std::uint8_t{0x7F});
  std::fill(weight.codes.begin(), weight.codes.end(), std::uint8_t{0});
  EXPECT_THAT(rules_of(check_one(weight).findings), ElementsAre(HealthRule::kRepair));
}

TEST(Health, CodesDownTheColumnsWiderThanABuffer) {
  constexpr std::uint64_t kWidth = 70'001;
  Model model;
  Bytes codes(16 * kWidth, 0x11);  // [K / 2, N], K = 32
  for (const std::uint64_t column : {std::uint64_t{0}, std::uint64_t{32'767}, std::uint64_t{32'768}, kWidth - 1}) {
    for (std::uint64_t row = 8; row < 16; ++row) codes[row * kWidth + column] = 0x88;
  }
  model.add("model.layers.0.mlp.down_proj.weight", "U8", {16, kWidth}, codes);
  model.add("model.layers.0.mlp.down_proj.weight_scale", "F8_E4M3", {2, kWidth}, Bytes(2 * kWidth, 0x38));
  model.add_scalar("model.layers.0.mlp.down_proj.weight_scale_2", 1);
  model.add_scalar("model.layers.0.mlp.down_proj.input_scale", 1);
  const HealthReport report = model.check();
  EXPECT_EQ(report.totals.num_blocks, 2 * kWidth);
  EXPECT_EQ(report.totals.num_zero_code_blocks, 4U);
}

TEST(Health, ThreadsDoNotChangeTheReport) {
  std::mt19937 random(7);
  Model model;
  for (int layer = 0; layer < 6; ++layer) {
    Weight weight{.rows = 2048 - 16 * static_cast<std::uint64_t>(layer), .k = 8192};  // codes of 8 MB: several jobs
    for (std::size_t i = 0; i < weight.codes.size(); i += 1 + random() % 64)
      weight.codes[i] = static_cast<std::uint8_t>(random() & 0x88U);
    for (int i = 0; i < 2000; ++i) weight.scales[random() % weight.scales.size()] = static_cast<std::uint8_t>(random());
    weight.scale2 = static_cast<float>(layer % 2 + 1);
    weight.add_to(model, fmt::format("model.layers.{}.self_attn.{}_proj", layer / 2, layer % 2 == 0 ? 'q' : 'k'));
  }
  const Checkpoint checkpoint = model.open(kNvfp4Config);
  const auto one = check_health(checkpoint, {.num_threads = 1});
  ASSERT_TRUE(one.ok());
  EXPECT_THAT(one->findings, testing::SizeIs(12));
  for (const std::uint32_t num_threads : {2U, 4U, 13U}) {
    const auto many = check_health(checkpoint, {.num_threads = num_threads});
    ASSERT_TRUE(many.ok());
    EXPECT_EQ(*many, *one) << num_threads;
  }
}

TEST(Health, ProgressGrowsToAllBytes) {
  Model model;
  Weight{.rows = 2048, .k = 16384}.add_to(model, kModule);
  const Checkpoint checkpoint = model.open(kNvfp4Config);
  std::vector<std::uint64_t> done;
  const auto report =
      check_health(checkpoint, {.num_threads = 1, .progress = [&](std::uint64_t at, std::uint64_t total) {
                                  EXPECT_EQ(total, 2048U * 16384 / 16 * 9);
                                  done.push_back(at);
                                }});
  ASSERT_TRUE(report.ok());
  EXPECT_GT(done.size(), 3U);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 2048U * 16384 / 16 * 9);
  EXPECT_GT(done[0], 0U);
  EXPECT_LT(done[0], done.back());
}

TEST(Health, AFileThatShrankIsAnError) {
  Model model;
  Weight{}.add_to(model, kModule);
  const Checkpoint checkpoint = model.open(kNvfp4Config);
  std::filesystem::resize_file(model.file(), std::filesystem::file_size(model.file()) - 4096);
  for (const std::uint32_t num_threads : {1U, 4U}) {
    const auto report = check_health(checkpoint, {.num_threads = num_threads});
    ASSERT_FALSE(report.ok());
    EXPECT_THAT(report.error().to_string(), HasSubstr("model.safetensors"));
  }
}

}  // namespace
}  // namespace nvfp4::checkpoint
