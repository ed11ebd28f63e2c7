#include "prepare/random_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "formats/e4m3.h"
#include "kernels/reference/linear.h"

namespace nvfp4::prepare {
namespace {

using kernels::WeightFormat;
using testing::HasSubstr;

const std::string kNone = R"({"model_type": "qwen3"})";
const std::string kModelOptFp8 = R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}})";
const std::string kFp8PerRow =
    R"({"quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups":
    {"group_0": {"targets": ["Linear"],
     "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "dynamic": false, "symmetric": true},
     "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true, "symmetric": true}}}}})";
const std::string kWeightOnly =
    R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4", "group_size": 16}})";
const std::string kExcluding = R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4",
    "group_size": 16, "ignore": ["lm_head", "model.layers.0.*"]}})";

const std::string kTable = R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
    "quantized_layers": {"model.embed_tokens": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
                         "model.layers.0.mlp.up_proj": {"quant_algo": "FP8"}}}})";

class Source {
 public:
  explicit Source(const std::string& config, std::uint64_t seed = 1, std::size_t num_workers = 2,
                  ActivationRequest request = ActivationRequest::kCheckpoint)
      : pool_(num_workers) {
    auto source = make_random_source(config, "config.json", seed, request, pool_);
    EXPECT_TRUE(source.ok()) << (source.ok() ? "" : source.error().to_string());
    if (source) source_ = std::move(source).value();
  }
  WeightSource* operator->() { return source_.get(); }
  PreparedWeight matrix(const std::string& module, std::uint64_t out_features = 64, std::uint64_t in_features = 256) {
    auto weight = source_->matrix(module, {out_features, in_features}, false);
    EXPECT_TRUE(weight.ok()) << weight.error().to_string();
    return std::move(weight).value();
  }

 private:
  WorkerPool pool_;
  std::unique_ptr<WeightSource> source_;
};

bool same_bytes(const PreparedWeight& a, const PreparedWeight& b) {
  return a.elements.size() == b.elements.size() && a.block_scales.size() == b.block_scales.size() &&
         std::memcmp(a.elements.data(), b.elements.data(), a.elements.size()) == 0 &&
         (a.block_scales.size() == 0 ||
          std::memcmp(a.block_scales.data(), b.block_scales.data(), a.block_scales.size()) == 0);
}

// Sizes around the pieces that workers fill, and such as are no multiple of 8.
TEST(RandomSource, TheSeedAndTheNameDecideTheBytes) {
  const std::pair<std::uint64_t, std::uint64_t> shapes[] = {{64, 256}, {1100, 2048}, {3, 16}, {5, 48}};
  for (const std::string& config : {kNone, kModelOptFp8, kExcluding}) {
    for (const auto& [out_features, in_features] : shapes) {
      for (const std::string module : {"model.layers.1.mlp.up_proj", "model.embed_tokens", "lm_head"}) {
        const PreparedWeight weight = Source(config, 7, 1).matrix(module, out_features, in_features);
        EXPECT_TRUE(same_bytes(weight, Source(config, 7, 5).matrix(module, out_features, in_features)));
        EXPECT_FALSE(same_bytes(weight, Source(config, 8, 1).matrix(module, out_features, in_features)));
        EXPECT_FALSE(same_bytes(weight, Source(config, 7, 1).matrix(module + "x", out_features, in_features)));
      }
    }
  }
}

TEST(RandomSource, TheOrderOfCallsDoesNotMatter) {
  Source a(kNone);
  Source b(kNone);
  const PreparedWeight first = a.matrix("model.layers.0.mlp.up_proj");
  (void)b.matrix("model.layers.0.mlp.down_proj");
  EXPECT_TRUE(same_bytes(first, b.matrix("model.layers.0.mlp.up_proj")));
}

TEST(RandomSource, WithoutADeclarationLinearLayersAreW4A4) {
  Source source(kNone);
  const PreparedWeight up = source.matrix("model.layers.0.mlp.up_proj");
  EXPECT_EQ(up.format, WeightFormat::kNvfp4);
  EXPECT_EQ(up.scheme, "nvfp4_w4a4");
  EXPECT_EQ(up.activation, Activation::kNvfp4Static);
  EXPECT_EQ(up.input_scale.size(), 1U);
  EXPECT_EQ(up.block_size, 16U);
  for (const char* module : {"lm_head", "model.embed_tokens", "model.layers.0.mlp.gate"}) {
    EXPECT_EQ(source.matrix(module).format, WeightFormat::kBF16) << module;
    EXPECT_EQ(source.matrix(module).activation, Activation::k16Bit) << module;
  }
}

TEST(RandomSource, SchemesFollowTheConfiguration) {
  EXPECT_EQ(Source(kModelOptFp8).matrix("model.layers.0.mlp.up_proj").format, WeightFormat::kFp8);
  const PreparedWeight per_row = Source(kFp8PerRow).matrix("model.layers.0.mlp.up_proj");
  EXPECT_EQ(per_row.format, WeightFormat::kFp8);
  EXPECT_EQ(per_row.activation, Activation::kFp8Dynamic);
  EXPECT_TRUE(per_row.per_row_scale);
  EXPECT_EQ(per_row.scale2.size(), 64U);
  const PreparedWeight weight_only = Source(kWeightOnly).matrix("model.layers.0.mlp.up_proj");
  EXPECT_EQ(weight_only.scheme, "nvfp4_w4a16");
  EXPECT_EQ(weight_only.activation, Activation::k16Bit);
  EXPECT_TRUE(weight_only.input_scale.empty());
  for (const std::string& config : {kModelOptFp8, kFp8PerRow, kWeightOnly}) {
    EXPECT_EQ(Source(config).matrix("model.embed_tokens").format, WeightFormat::kBF16) << config;
  }
  Source table(kTable);
  EXPECT_EQ(table.matrix("model.embed_tokens").scheme, "nvfp4_w4a16");
  EXPECT_EQ(table.matrix("model.layers.0.mlp.up_proj").format, WeightFormat::kFp8);
  EXPECT_EQ(table.matrix("model.layers.0.mlp.down_proj").format, WeightFormat::kBF16);
  Source excluding(kExcluding);
  EXPECT_EQ(excluding.matrix("model.layers.0.mlp.up_proj").format, WeightFormat::kBF16);
  EXPECT_EQ(excluding.matrix("lm_head").format, WeightFormat::kBF16);
  EXPECT_EQ(excluding.matrix("model.layers.1.mlp.up_proj").format, WeightFormat::kNvfp4);
}

TEST(RandomSource, RequestsChangeTheActivations) {
  const std::string up = "model.layers.0.mlp.up_proj";
  EXPECT_EQ(Source(kNone, 1, 1, ActivationRequest::kW4A16).matrix(up).activation, Activation::k16Bit);
  EXPECT_EQ(Source(kModelOptFp8, 1, 1, ActivationRequest::kW4A16).matrix(up).activation, Activation::k16Bit);
  EXPECT_EQ(Source(kNone, 1, 1, ActivationRequest::kW4A4).matrix(up).activation, Activation::kNvfp4Static);
  EXPECT_EQ(Source(kWeightOnly, 1, 1, ActivationRequest::kW4A4).matrix(up).activation, Activation::kNvfp4Dynamic);
}

// Mean 0 and variance 1 / in_features (1 for the embedding), so that activations keep their size. With n numbers the
// relative error of a variance is sqrt((kurtosis - 1) / n): below 0.6 % for all of them here, so 4 % is beyond chance.
TEST(RandomSource, VariancesKeepActivationsTheirSize) {
  constexpr std::uint64_t kRows = 512;
  constexpr std::uint64_t kCols = 256;
  const std::pair<std::string, std::string> cases[] = {{kNone, "model.layers.0.mlp.up_proj"},
                                                       {kNone, "lm_head"},
                                                       {kNone, "model.embed_tokens"},
                                                       {kTable, "model.embed_tokens"},
                                                       {kModelOptFp8, "model.layers.0.mlp.up_proj"},
                                                       {kFp8PerRow, "model.layers.0.mlp.up_proj"},
                                                       {kWeightOnly, "model.layers.0.mlp.up_proj"}};
  for (const auto& [config, module] : cases) {
    const PreparedWeight weight = Source(config).matrix(module, kRows, kCols);
    double sum = 0;
    double squares = 0;
    std::vector<double> row(kCols);
    for (std::uint64_t n = 0; n < kRows; ++n) {
      kernels::reference::dequantize_row(weight.view(), 0, n, row);
      for (const double value : row) {
        ASSERT_TRUE(std::isfinite(value));
        sum += value;
        squares += value * value;
      }
    }
    const double wanted = module == "model.embed_tokens" ? 1.0 : 1.0 / kCols;
    const double count = kRows * kCols;
    EXPECT_NEAR(squares / count / wanted, 1.0, 0.04) << config << " " << module;
    EXPECT_NEAR(sum / count / std::sqrt(wanted), 0.0, 0.02) << config << " " << module;
  }
}

TEST(RandomSource, HoldsNoNaNAndOnlySoundScales) {
  const PreparedWeight fp8 = Source(kModelOptFp8).matrix("model.layers.0.mlp.up_proj", 256, 1024);
  for (std::size_t i = 0; i < fp8.elements.size(); ++i) {
    ASSERT_FALSE(is_nan_e4m3(std::to_integer<std::uint8_t>(fp8.elements.data()[i])));
  }
  const PreparedWeight nvfp4 = Source(kNone).matrix("model.layers.0.mlp.up_proj", 256, 1024);
  for (std::size_t i = 0; i < nvfp4.block_scales.size(); ++i) {
    const float scale = decode_e4m3(std::to_integer<std::uint8_t>(nvfp4.block_scales.data()[i]));
    ASSERT_TRUE(scale >= 0.875F && scale <= 1.25F) << scale;
  }
  for (const PreparedWeight* weight : {&fp8, &nvfp4}) {
    for (const float scale : weight->scale2) EXPECT_GT(scale, 0.0F);
    for (const float scale : weight->input_scale) EXPECT_GT(scale, 0.0F);
  }
}

TEST(RandomSource, ExpertsDifferAndHaveAScaleEach) {
  Source source(kNone);
  auto weight = source->experts("model.layers.0.mlp.experts", "up_proj", 4, {32, 64});
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(weight->num_experts, 4U);
  EXPECT_EQ(weight->scale2.size(), 4U);
  EXPECT_EQ(weight->input_scale.size(), 4U);
  EXPECT_EQ(weight->elements.size(), 4U * 32 * 32);
  EXPECT_NE(std::memcmp(weight->elements.data(), weight->elements.data() + 1024, 1024), 0);
  EXPECT_EQ(*source->vector("model.norm.weight", 3), (std::vector<float>{1, 1, 1}));
  EXPECT_TRUE(source->finish().ok());
}

TEST(RandomSource, ImpossibleShapesAreErrors) {
  Source source(kNone);
  auto ragged = source->matrix("model.layers.0.mlp.up_proj", {4, 40}, false);
  ASSERT_FALSE(ragged.ok());
  EXPECT_THAT(ragged.error().to_string(), HasSubstr("model.layers.0.mlp.up_proj"));
  EXPECT_THAT(ragged.error().to_string(), HasSubstr("not a multiple of the block size 16"));
  // 2^31 * 2^31 * 2^20 weights: their number does not fit 64 bits.
  auto huge = source->experts("model.layers.0.mlp.experts", "up_proj", 1 << 20, {1ULL << 31, 1ULL << 31});
  ASSERT_FALSE(huge.ok());
  EXPECT_THAT(huge.error().to_string(), HasSubstr("not enough memory"));
}

}  // namespace
}  // namespace nvfp4::prepare
