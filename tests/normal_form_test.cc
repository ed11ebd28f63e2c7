// The rules that turn stored tensors and declarations into descriptions: docs/checkpoints.md states them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "support/checkpoint_builder.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using support::SafetensorsText;
using support::TemporaryDirectory;
// gmock does not know spans.
template <class T>
std::vector<T> list(std::span<const T> view) {
  return {view.begin(), view.end()};
}

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::string modelopt(std::string_view body) {
  return fmt::format(R"({{"producer": {{"name": "modelopt", "version": "0.44.0"}}, "quantization": {{{}}}}})", body);
}

class NormalForm : public testing::Test {
 protected:
  // Config files by name are written by the test; this adds the tensors and opens.
  Result<Checkpoint> open() {
    directory_.write("model.safetensors", tensors_.file());
    return Checkpoint::open(directory_.path());
  }
  Checkpoint opened() {
    auto checkpoint = open();
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
    return std::move(checkpoint).value();
  }
  static std::vector<std::string> names(std::span<const Finding> findings) {
    std::vector<std::string> out;
    for (const Finding& finding : findings) out.push_back(finding.name);
    return out;
  }
  void declare(std::string_view quantization) { directory_.write("hf_quant_config.json", modelopt(quantization)); }

  TemporaryDirectory directory_;
  SafetensorsText tensors_;
};

TEST_F(NormalForm, InputScaleUnderW4A4) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16, "exclude_modules": [])");
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0.125F);
  const Checkpoint checkpoint = opened();
  const DescribedTensor* w = checkpoint.find("a.q_proj");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(scheme_name(*w), "nvfp4_w4a4");
  EXPECT_THAT(list(w->shape), ElementsAre(32, 64));
  EXPECT_THAT(list(w->scale2), ElementsAre(0.25F));
  EXPECT_THAT(list(w->input_scale), ElementsAre(0.125F));
  EXPECT_THAT(std::string(w->activation_evidence), HasSubstr("quantization.quant_algo = NVFP4"));
  EXPECT_THAT(checkpoint.conflicts(), IsEmpty());
}

TEST_F(NormalForm, WeightOnlyIgnoresAnInputScale) {
  declare(R"("quant_algo": "W4A16_NVFP4", "group_size": 16)");
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0.125F);
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("a.q_proj")), "nvfp4_w4a16");
  EXPECT_THAT(list(checkpoint.find("a.q_proj")->input_scale), IsEmpty());
  EXPECT_THAT(names(checkpoint.ignored()), ElementsAre("a.q_proj.input_scale"));
}

TEST_F(NormalForm, LabelledW4A4WithoutInputScaleIsWeightOnly) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16)");
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0);
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("a.q_proj")), "nvfp4_w4a16");
  EXPECT_THAT(names(checkpoint.conflicts()), ElementsAre("a.q_proj.weight"));
}

TEST_F(NormalForm, ExcludedModuleThatIsQuantisedOnDisk) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head*"])");
  support::add_modelopt_nvfp4(tensors_, "lm_head", 32, 64, 0.25F, 0.125F);
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("lm_head")), "nvfp4_w4a4");
  EXPECT_THAT(names(checkpoint.conflicts()), ElementsAre("lm_head.weight"));
}

TEST_F(NormalForm, DeclaredButStoredUnquantised) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16)");
  tensors_.add_values("a.q_proj.weight", "BF16", {2, 16}, std::vector<std::uint16_t>(32, 0x3F80));
  tensors_.add_values("a.norm.weight", "BF16", {16}, std::vector<std::uint16_t>(16, 0x3F80));
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("a.q_proj")), "bf16");
  EXPECT_THAT(names(checkpoint.conflicts()), ElementsAre("a.q_proj.weight"));
}

TEST_F(NormalForm, NothingDeclared) {
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0.125F);
  support::add_modelopt_nvfp4(tensors_, "a.k_proj", 32, 64, 0.25F, 0);
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("a.q_proj")), "nvfp4_w4a4");
  EXPECT_EQ(scheme_name(*checkpoint.find("a.k_proj")), "nvfp4_w4a16");
  EXPECT_THAT(names(checkpoint.conflicts()), ElementsAre("a.q_proj.weight", "a.k_proj.weight"));
}

TEST_F(NormalForm, MixedPrecisionTableResolvesExpertsByTheirParent) {
  declare(R"("quant_algo": "MIXED_PRECISION", "quantized_layers": {
      "model.language_model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
      "model.language_model.layers.0.self_attn.q_proj": {"quant_algo": "NVFP4", "group_size": 16}})");
  support::add_modelopt_nvfp4(tensors_, "model.layers.0.mlp.experts.0.up_proj", 32, 64, 0.25F, 0.125F);
  support::add_modelopt_nvfp4(tensors_, "model.layers.0.self_attn.q_proj", 32, 64, 0.25F, 0.125F);
  support::add_modelopt_nvfp4(tensors_, "model.layers.0.self_attn.k_proj", 32, 64, 0.25F, 0.125F);
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("model.layers.0.mlp.experts.0.up_proj")), "nvfp4_w4a16");
  EXPECT_EQ(scheme_name(*checkpoint.find("model.layers.0.self_attn.q_proj")), "nvfp4_w4a4");
  // A module that the table does not list is declared unquantised: its siblings say nothing about it.
  EXPECT_THAT(names(checkpoint.conflicts()), ElementsAre("model.layers.0.self_attn.k_proj.weight"));
}

TEST_F(NormalForm, TwoFilesThatDisagreeAboutActivations) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16)");
  directory_.write(
      "config.json",
      R"({"model_type": "llama", "quantization_config": {"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4"}})");
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0.125F);
  const auto undecided = open();
  ASSERT_FALSE(undecided.ok());
  EXPECT_EQ(undecided.error().code, ErrorCode::kContradiction);
  EXPECT_THAT(undecided.error().to_string(), HasSubstr("quantization.quant_algo"));
  EXPECT_THAT(undecided.error().to_string(), HasSubstr("W4A16_NVFP4"));

  // Without an input scale the tensors decide.
  tensors_ = {};
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0);
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(scheme_name(*checkpoint.find("a.q_proj")), "nvfp4_w4a16");
  EXPECT_THAT(names(checkpoint.conflicts()), Contains("quant_algo"));
}

TEST_F(NormalForm, ExpertsWithoutAUsableInputScaleTakeTheLargestOfTheOthers) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16)");
  const std::vector<float> scales{0.125F, 0.5F, 0, kNan, kInf, 1e-42F, -1.0F, 2e38F};
  for (std::size_t e = 0; e < scales.size(); ++e) {
    const std::string module = fmt::format("model.layers.0.mlp.experts.{}.up_proj", e);
    support::add_modelopt_nvfp4(tensors_, module, 32, 64, 0.25F, 0);
    if (e != 2) tensors_.add_values(module + ".input_scale", "F32", {}, std::vector<float>{scales[e]});
  }
  support::add_modelopt_nvfp4(tensors_, "model.layers.1.mlp.experts.0.up_proj", 32, 64, 0.25F, 7.0F);  // another layer
  const Checkpoint checkpoint = opened();
  for (std::size_t e = 0; e < scales.size(); ++e) {
    const DescribedTensor* w = checkpoint.find(fmt::format("model.layers.0.mlp.experts.{}.up_proj", e));
    EXPECT_EQ(scheme_name(*w), "nvfp4_w4a4");
    EXPECT_THAT(list(w->input_scale), ElementsAre(e == 0 ? 0.125F : 0.5F)) << "expert " << e;
  }
  EXPECT_EQ(checkpoint.repairs().size(), 6U);
}

TEST_F(NormalForm, UnusableInputScaleOutsideOfExpertsIsAnError) {
  declare(R"("quant_algo": "NVFP4", "group_size": 16)");
  support::add_modelopt_nvfp4(tensors_, "a.q_proj", 32, 64, 0.25F, 0);
  tensors_.add_values("a.q_proj.input_scale", "F32", {}, std::vector<float>{0});
  const auto checkpoint = open();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_THAT(checkpoint.error().to_string(), HasSubstr("a.q_proj.input_scale"));
}

struct Scale2Case {
  const char* suffix;
  float stored;
  std::optional<float> multiplier;  // nothing: an error
  bool repaired;
};

class Scale2 : public NormalForm, public testing::WithParamInterface<Scale2Case> {};

TEST_P(Scale2, FollowsItsRule) {
  const Scale2Case& c = GetParam();
  support::add_modelopt_nvfp4(tensors_, "other", 16, 32, 1.0F, 0);
  const std::string module = "a.q_proj";
  tensors_.add_values(module + ".weight", "U8", {16, 16}, std::vector<std::uint8_t>(256, 0x22));
  tensors_.add_values(module + ".weight_scale", "F8_E4M3", {16, 2}, std::vector<std::uint8_t>(32, 0x38));
  tensors_.add_values(module + c.suffix, "F32", {1}, std::vector<float>{c.stored});
  const auto checkpoint = open();
  if (!c.multiplier) {
    ASSERT_FALSE(checkpoint.ok());
    EXPECT_THAT(checkpoint.error().where, HasSubstr(module + c.suffix));
    return;
  }
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  const DescribedTensor* w = checkpoint->find(module);
  EXPECT_THAT(list(w->scale2), ElementsAre(*c.multiplier));
  EXPECT_EQ(checkpoint->repairs().size(), c.repaired ? 1U : 0U);
  std::vector<float> values(w->num_elements());
  ASSERT_TRUE(checkpoint->dequantize_rows(*w, 0, 16, values).ok());
  EXPECT_THAT(values, testing::Each(*c.multiplier));  // code 2 is 1.0, the block scale is 1.0
}

INSTANTIATE_TEST_SUITE_P(
    Values, Scale2,
    testing::Values(
        Scale2Case{".weight_scale_2", 0.25F, 0.25F, false}, Scale2Case{".weight_scale_2", 0, 0.0F, true},
        Scale2Case{".weight_scale_2", 1e-40F, 1e-40F, false}, Scale2Case{".weight_scale_2", kNan, {}, false},
        Scale2Case{".weight_scale_2", kInf, {}, false}, Scale2Case{".weight_scale_2", -1, {}, false},
        Scale2Case{".weight_global_scale", 4.0F, 0.25F, false}, Scale2Case{".weight_global_scale", kInf, 0.0F, true},
        Scale2Case{".weight_global_scale", 0, {}, false}, Scale2Case{".weight_global_scale", kNan, {}, false},
        Scale2Case{".weight_global_scale", -2, {}, false}, Scale2Case{".weight_global_scale", 1e-40F, {}, false}));

class ScaleShapes : public NormalForm, public testing::WithParamInterface<std::vector<std::uint64_t>> {};

TEST_P(ScaleShapes, AreReadByTheirNumberOfValues) {
  // Two stacked experts of [64, 32]; the scale is (), (1,), (E,), (E, 1) or (E, 2).
  const std::vector<std::uint64_t>& shape = GetParam();
  std::uint64_t count = 1;
  for (std::uint64_t d : shape) count *= d;
  std::vector<float> scales;
  for (std::uint64_t i = 0; i < count; ++i) scales.push_back(static_cast<float>(i + 1));
  tensors_.add_values("a.experts.w13_weight", "U8", {2, 64, 16}, std::vector<std::uint8_t>(2048, 0x22));
  tensors_.add_values("a.experts.w13_weight_scale", "F8_E4M3", {2, 64, 2}, std::vector<std::uint8_t>(256, 0x38));
  tensors_.add_values("a.experts.w13_weight_scale_2", "F32", shape, scales);
  const Checkpoint checkpoint = opened();
  const DescribedTensor* w = checkpoint.find("a.experts.w13_weight");
  ASSERT_NE(w, nullptr);
  EXPECT_THAT(list(w->shape), ElementsAre(2, 64, 32));
  EXPECT_EQ(w->num_shards(), count == 4 ? 2U : 1U);
  std::vector<float> values(w->num_elements());
  ASSERT_TRUE(checkpoint.dequantize_rows(*w, 0, 128, values).ok());
  const auto row = [&](std::uint64_t expert, std::uint64_t n) { return values[(expert * 64 + n) * 32]; };
  const std::vector<float> corners{row(0, 0), row(0, 63), row(1, 0), row(1, 63)};
  const auto expected = count == 1   ? std::vector<float>{1, 1, 1, 1}
                        : count == 2 ? std::vector<float>{1, 1, 2, 2}
                                     : std::vector<float>{1, 2, 3, 4};
  EXPECT_EQ(corners, expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ScaleShapes,
                         testing::Values(std::vector<std::uint64_t>{}, std::vector<std::uint64_t>{1},
                                         std::vector<std::uint64_t>{2}, std::vector<std::uint64_t>{2, 1},
                                         std::vector<std::uint64_t>{2, 2}));

TEST_F(NormalForm, FusedQkvTakesItsShardsFromTheHeads) {
  directory_.write(
      "config.json",
      R"({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16})");
  tensors_.add_values("a.qkv_proj.weight", "U8", {128, 32}, std::vector<std::uint8_t>(4096, 0x22));
  tensors_.add_values("a.qkv_proj.weight_scale", "F8_E4M3", {128, 4}, std::vector<std::uint8_t>(512, 0x38));
  tensors_.add_values("a.qkv_proj.weight_scale_2", "F32", {3}, std::vector<float>{1, 2, 4});
  const Checkpoint checkpoint = opened();
  EXPECT_THAT(list(checkpoint.find("a.qkv_proj")->shard_rows), ElementsAre(64, 32, 32));
  std::vector<float> values(128 * 64);
  ASSERT_TRUE(checkpoint.dequantize_rows(*checkpoint.find("a.qkv_proj"), 0, 128, values).ok());
  EXPECT_EQ(values[63 * 64], 1.0F);
  EXPECT_EQ(values[64 * 64], 2.0F);
  EXPECT_EQ(values[96 * 64], 4.0F);
}

TEST_F(NormalForm, TowersAndDraftHeadsAreIgnoredByName) {
  const std::vector<std::uint16_t> ones(4, 0x3F80);
  for (const char* name :
       {"model.visual.blocks.0.attn.qkv.weight", "mtp.layers.0.norm.weight", "model.layers.0.norm.weight"}) {
    tensors_.add_values(name, "BF16", {4}, ones);
  }
  tensors_.add_values("mtp.layers.0.mlp.experts.0.up_proj.weight_scale", "F8_E4M3", {4},
                      std::vector<std::uint8_t>(4, 0x38));
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(checkpoint.weights().size(), 1U);
  EXPECT_EQ(checkpoint.ignored().size(), 3U);
}

TEST_F(NormalForm, KeyValueScales) {
  declare(R"("quant_algo": null, "kv_cache_quant_algo": "FP8")");
  tensors_.add_values("model.layers.0.self_attn.k_proj.k_scale", "F32", {}, std::vector<float>{0.5F});
  tensors_.add_values("model.layers.0.self_attn.v_scale", "BF16", {1}, std::vector<std::uint16_t>{0x3F80});
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(checkpoint.kv_cache_scheme(), "fp8");
  ASSERT_EQ(checkpoint.kv_scales().size(), 2U);
  EXPECT_EQ(checkpoint.kv_scales()[0].scale, 0.5F);
  EXPECT_EQ(checkpoint.kv_scales()[1].scale, 1.0F);
}

TEST_F(NormalForm, CompressedTensorsTargetsByNameThenPatternThenClass) {
  directory_.write(
      "config.json",
      R"({"model_type": "llama", "quantization_config": {"quant_method": "compressed-tensors", "version": "0.13.0",
      "config_groups": {
        "by_class": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
                     "input_activations": null},
        "by_pattern": {"targets": ["re:.*k_proj$"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
                       "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true}},
        "by_name": {"targets": ["a.k_proj"], "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
                    "input_activations": {"num_bits": 4, "type": "float", "group_size": 16, "dynamic": "local"}}},
      "ignore": ["lm_head", "re:.*o_proj"]}})");
  for (const char* module : {"a.k_proj", "a.q_proj", "a.o_proj"})
    support::add_modelopt_nvfp4(tensors_, module, 32, 64, 0.25F, 0.125F);
  tensors_.add_values("b.k_proj.weight", "F8_E4M3", {2, 16}, std::vector<std::uint8_t>(32, 0x38));
  tensors_.add_values("b.k_proj.weight_scale", "F32", {2, 1}, std::vector<float>{1, 2});
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(checkpoint.producer(), "compressed-tensors 0.13.0");
  EXPECT_EQ(scheme_name(*checkpoint.find("a.k_proj")), "nvfp4_w4a4");
  EXPECT_EQ(scheme_name(*checkpoint.find("a.q_proj")), "nvfp4_w4a16");
  EXPECT_EQ(scheme_name(*checkpoint.find("b.k_proj")), "fp8");
  EXPECT_EQ(checkpoint.find("b.k_proj")->activation, Activation::kFp8Dynamic);
  EXPECT_TRUE(checkpoint.find("b.k_proj")->per_row_scale);
  EXPECT_THAT(names(checkpoint.conflicts()), ElementsAre("a.o_proj.weight"));  // ignored, yet quantised
}

TEST_F(NormalForm, PythonInfinityInConfig) {
  directory_.write(
      "config.json",
      R"({"model_type": "nemotron_h", "time_step_limit": [0.0, Infinity], "x": -Infinity, "y": "NaN Infinity"})");
  tensors_.add_values("a.weight", "BF16", {1}, std::vector<std::uint16_t>{0x3F80});
  const Checkpoint checkpoint = opened();
  EXPECT_EQ(checkpoint.architecture(), "nemotron_h");
  EXPECT_THAT(checkpoint.config_json(), HasSubstr(R"([0.0, "Infinity"])"));
  EXPECT_THAT(checkpoint.config_json(), HasSubstr(R"("NaN Infinity")"));
}

}  // namespace
}  // namespace nvfp4
