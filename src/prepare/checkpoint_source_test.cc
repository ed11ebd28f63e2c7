#include "prepare/checkpoint_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "formats/bf16.h"
#include "support/opened_checkpoint.h"
#include "support/temporary_directory.h"

namespace nvfp4::prepare {
namespace {

using support::add_modelopt_nvfp4;
using support::OpenedCheckpoint;
using support::SafetensorsText;
using testing::HasSubstr;

constexpr MatrixShape kShape{8, 64};
constexpr float kScale2 = 0.0123F;
constexpr float kInputScale = 0.0456F;

// A config.json that declares weight-only NVFP4.
constexpr const char* kWeightOnly = R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
  "quantization_config": {"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4", "group_size": 16}})";

SafetensorsText one_matrix(float input_scale) {
  SafetensorsText tensors;
  add_modelopt_nvfp4(tensors, "proj", kShape.out_features, kShape.in_features, kScale2, input_scale);
  return tensors;
}

SafetensorsText bf16_matrix(const std::string& name) {
  SafetensorsText tensors;
  std::vector<std::uint16_t> values(kShape.out_features * kShape.in_features);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = encode_bf16(0.25F * static_cast<float>(i));
  tensors.add_values(name, "BF16", {kShape.out_features, kShape.in_features}, values);
  return tensors;
}

Result<PreparedWeight> prepare(const OpenedCheckpoint& checkpoint, ActivationRequest request,
                               MatrixShape shape = kShape, bool has_bias = false) {
  CheckpointSource source(*checkpoint, "some/model", request);
  return source.matrix("proj", shape, has_bias);
}

// ---- what --activations asks for ----

struct Wish {
  ActivationRequest request;
  float input_scale;  // 0: none in the file
  const char* config;
  Activation expected;
  const char* reason;
};

TEST(CheckpointSource, ActivationsFollowTheCheckpointUnlessAskedOtherwise) {
  const char* const kPlain = OpenedCheckpoint::kConfig;
  const Wish wishes[] = {
      {ActivationRequest::kCheckpoint, kInputScale, kPlain, Activation::kNvfp4Static, "input scale"},
      {ActivationRequest::kCheckpoint, 0, kPlain, Activation::k16Bit, "no input scale"},
      {ActivationRequest::kCheckpoint, kInputScale, kWeightOnly, Activation::k16Bit, "W4A16_NVFP4"},
      {ActivationRequest::kW4A16, kInputScale, kPlain, Activation::k16Bit, "on request"},
      {ActivationRequest::kW4A16, 0, kPlain, Activation::k16Bit, "on request"},
      {ActivationRequest::kW4A4, kInputScale, kPlain, Activation::kNvfp4Static, "on request"},
      {ActivationRequest::kW4A4, 0, kPlain, Activation::kNvfp4Dynamic, "scale per token"},
      {ActivationRequest::kW4A4, kInputScale, kWeightOnly, Activation::kNvfp4Dynamic, "scale per token"},
  };
  for (const Wish& wish : wishes) {
    const OpenedCheckpoint checkpoint(one_matrix(wish.input_scale), wish.config);
    ASSERT_TRUE(checkpoint.ok());
    const auto weight = prepare(checkpoint, wish.request);
    ASSERT_TRUE(weight.ok()) << weight.error().to_string();
    SCOPED_TRACE(testing::Message() << static_cast<int>(wish.request) << " " << wish.input_scale);
    EXPECT_EQ(weight->activation, wish.expected);
    EXPECT_THAT(weight->activation_reason, HasSubstr(wish.reason));
    const bool is_static = wish.expected == Activation::kNvfp4Static;
    EXPECT_EQ(weight->input_scale, is_static ? std::vector<float>{kInputScale} : std::vector<float>{});
    EXPECT_EQ(weight->problem().activation, wish.expected);
  }
}

TEST(CheckpointSource, RequestsLeavePlainWeightsAlone) {
  const OpenedCheckpoint checkpoint(bf16_matrix("proj.weight"));
  ASSERT_TRUE(checkpoint.ok());
  for (const auto request : {ActivationRequest::kCheckpoint, ActivationRequest::kW4A16, ActivationRequest::kW4A4}) {
    const auto weight = prepare(checkpoint, request);
    ASSERT_TRUE(weight.ok());
    EXPECT_EQ(weight->activation, Activation::k16Bit);
    EXPECT_EQ(weight->scheme, "bf16");
  }
}

TEST(CheckpointSource, BlocksOf32RunWith16BitActivationsOnly) {
  SafetensorsText tensors;
  tensors.add("proj.weight", "U8", {8, 32}, std::string(256, '\x12'));
  tensors.add("proj.weight_scale", "F8_E4M3", {8, 2}, std::string(16, '\x38'));
  tensors.add_values("proj.weight_scale_2", "F32", {}, std::vector<float>{kScale2});
  const OpenedCheckpoint checkpoint(tensors, kWeightOnly);
  ASSERT_TRUE(checkpoint.ok());
  for (const auto request : {ActivationRequest::kCheckpoint, ActivationRequest::kW4A16}) {
    const auto weight = prepare(checkpoint, request);
    ASSERT_TRUE(weight.ok()) << weight.error().to_string();
    EXPECT_EQ(weight->block_size, 32U);
    EXPECT_EQ(weight->block_scales.size(), 16U);
  }
  const auto refused = prepare(checkpoint, ActivationRequest::kW4A4);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("proj.weight"));
  EXPECT_THAT(refused.error().to_string(), HasSubstr("blocks of 32"));
}

// ---- what a matrix consists of ----

TEST(CheckpointSource, BiasAndPreQuantScaleComeAsFloats) {
  SafetensorsText tensors = one_matrix(kInputScale);
  std::vector<std::uint16_t> bias;
  for (int i = 0; i < 8; ++i) bias.push_back(encode_bf16(static_cast<float>(i) - 3.5F));
  std::vector<float> scale;
  for (int i = 0; i < 64; ++i) scale.push_back(1.0F + 0.01F * static_cast<float>(i));
  tensors.add_values("proj.bias", "BF16", {8}, bias);
  tensors.add_values("proj.pre_quant_scale", "F32", {64}, scale);
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint);
  EXPECT_TRUE(source.has("proj.bias"));
  EXPECT_FALSE(source.has("proj.biases"));
  const auto weight = source.matrix("proj", kShape, true);
  ASSERT_TRUE(weight.ok()) << weight.error().to_string();
  EXPECT_EQ(weight->bias, (std::vector<float>{-3.5F, -2.5F, -1.5F, -0.5F, 0.5F, 1.5F, 2.5F, 3.5F}));
  EXPECT_EQ(weight->pre_quant_scale, scale);
  EXPECT_TRUE(source.finish().ok());
  EXPECT_EQ(weight->num_bytes(), 8 * 32 + 8 * 4 + 4U * (1 + 1 + 64 + 8));
}

TEST(CheckpointSource, VectorsOfEveryFloatTypeBecomeFloat32) {
  SafetensorsText tensors;
  tensors.add_values("a.weight", "BF16", {2}, std::vector<std::uint16_t>{0x3F80, 0xC000});
  tensors.add_values("b.weight", "F16", {2}, std::vector<std::uint16_t>{0x3C00, 0xC000});
  tensors.add_values("c.weight", "F32", {2}, std::vector<float>{1.0F, -2.0F});
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint);
  for (const char* name : {"a.weight", "b.weight", "c.weight"}) {
    const auto values = source.vector(name, 2);
    ASSERT_TRUE(values.ok()) << values.error().to_string();
    EXPECT_EQ(*values, (std::vector<float>{1.0F, -2.0F}));
  }
}

TEST(CheckpointSource, ScalesOfTheCacheBelongToTheirLayer) {
  SafetensorsText tensors = one_matrix(0);
  tensors.add_values("layers.1.attn.k_proj.k_scale", "F32", {}, std::vector<float>{0.5F});
  tensors.add_values("layers.1.attn.v_proj.v_scale", "F32", {}, std::vector<float>{0.25F});
  tensors.add_values("layers.11.attn.k_scale", "F32", {}, std::vector<float>{4.0F});
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  const CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint);
  const auto scales = [&](const std::string& module) {
    const auto found = source.kv_scales(module);
    return std::pair(found->k, found->v);
  };
  EXPECT_EQ(scales("layers.1.attn"), std::pair(0.5F, 0.25F));
  EXPECT_EQ(scales("layers.11.attn"), std::pair(4.0F, 1.0F));
  EXPECT_EQ(scales("layers.2.attn"), std::pair(1.0F, 1.0F));
}

TEST(CheckpointSource, ReportsProgressUpToTheWhole) {
  SafetensorsText tensors = one_matrix(kInputScale);
  tensors.add_values("norm.weight", "BF16", {2}, std::vector<std::uint16_t>{0x3F80, 0xC000});
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  std::vector<std::uint64_t> done;
  std::uint64_t total = 0;
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint,
                          [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
                            done.push_back(done_bytes);
                            total = total_bytes;
                          });
  ASSERT_TRUE(source.matrix("proj", kShape, false).ok());
  ASSERT_TRUE(source.vector("norm.weight", 2).ok());
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), total);
  EXPECT_EQ(total, 8 * 32 + 8 * 4 + 4U);
}

// ---- many readers ----

// Matrices of several large pages, one of them cut by the end of an expert.
SafetensorsText large_matrices() {
  SafetensorsText tensors;
  add_modelopt_nvfp4(tensors, "proj", 2048, 6144, kScale2, kInputScale);
  std::vector<std::uint16_t> values(3 * 1000 * 2048);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(i * 2654435761U >> 15U);
  tensors.add_values("experts.down_proj", "BF16", {3, 1000, 2048}, values);
  return tensors;
}

void expect_same_bytes(const PreparedWeight& a, const PreparedWeight& b) {
  ASSERT_EQ(a.elements.size(), b.elements.size());
  EXPECT_EQ(std::memcmp(a.elements.data(), b.elements.data(), a.elements.size()), 0);
  ASSERT_EQ(a.block_scales.size(), b.block_scales.size());
  if (a.block_size == 0) return;
  EXPECT_EQ(std::memcmp(a.block_scales.data(), b.block_scales.data(), a.block_scales.size()), 0);
}

TEST(CheckpointSource, ManyReadersReadWhatOneReads) {
  const SafetensorsText tensors = large_matrices();
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  WorkerPool pool(3);
  CheckpointSource alone(*checkpoint, "x", ActivationRequest::kCheckpoint);
  CheckpointSource together(*checkpoint, "x", ActivationRequest::kCheckpoint, {}, &pool);
  const auto proj = together.matrix("proj", {2048, 6144}, false);
  ASSERT_TRUE(proj.ok());
  expect_same_bytes(*proj, *alone.matrix("proj", {2048, 6144}, false));
  EXPECT_EQ(std::memcmp(proj->elements.data(), tensors.data.data(), proj->elements.size()), 0);
  const auto down = together.experts("experts", "down_proj", 3, {1000, 2048});
  ASSERT_TRUE(down.ok());
  expect_same_bytes(*down, *alone.experts("experts", "down_proj", 3, {1000, 2048}));
}

TEST(CheckpointSource, ManyReadersNameTheFirstByteThatIsMissing) {
  const support::TemporaryDirectory directory;
  directory.write("config.json", OpenedCheckpoint::kConfig);
  const auto path = directory.write("model.safetensors", large_matrices().file());
  const auto checkpoint = Checkpoint::open(directory.path());
  ASSERT_TRUE(checkpoint.ok());
  constexpr std::size_t kRest = 3'000'000;  // in the second of the pieces
  std::filesystem::resize_file(path, kRest);
  WorkerPool pool(3);
  CheckpointSource source(*checkpoint, "x", ActivationRequest::kCheckpoint, {}, &pool);
  const auto proj = source.matrix("proj", {2048, 6144}, false);
  ASSERT_FALSE(proj.ok());
  EXPECT_THAT(proj.error().to_string(), HasSubstr("model.safetensors"));
  EXPECT_THAT(proj.error().to_string(), HasSubstr("it ends at byte 3000000"));
}

// ---- what is wrong, in one line with the name ----

void expect_error(const Error& error, ErrorCode code, const std::vector<std::string>& words) {
  EXPECT_EQ(error.code, code);
  const std::string text = error.to_string();
  EXPECT_THAT(text, testing::StartsWith("some/model: "));
  EXPECT_THAT(text, testing::Not(HasSubstr("\n")));
  for (const std::string& word : words) EXPECT_THAT(text, HasSubstr(word));
}

TEST(CheckpointSource, ErrorsNameTheTensor) {
  SafetensorsText tensors = one_matrix(kInputScale);
  tensors.add_values("proj.bias", "F32", {7}, std::vector<float>(7, 0.0F));
  tensors.add("ints.weight", "I64", {8, 64}, std::string(8 * 64 * 8, '\0'));
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  CheckpointSource source(*checkpoint, "some/model", ActivationRequest::kCheckpoint);
  expect_error(source.matrix("missing", kShape, false).error(), ErrorCode::kNotFound,
               {"\"missing.weight\"", "Qwen3MoeForCausalLM", "download"});
  expect_error(source.matrix("proj", {8, 48}, false).error(), ErrorCode::kContradiction,
               {"\"proj.weight\"", "[8, 64]", "[8, 48]", "config.json"});
  expect_error(source.matrix("proj", kShape, true).error(), ErrorCode::kContradiction, {"\"proj.bias\"", "[7]", "[8]"});
  expect_error(source.vector("proj.bias", 8).error(), ErrorCode::kContradiction, {"\"proj.bias\"", "[7]", "[8]"});
  expect_error(source.vector("norm.weight", 8).error(), ErrorCode::kNotFound, {"\"norm.weight\""});
  expect_error(source.matrix("ints", kShape, false).error(), ErrorCode::kUnsupported, {"\"ints.weight\"", "I64"});
}

TEST(CheckpointSource, LeftoverTensorsAreAnError) {
  SafetensorsText tensors = one_matrix(kInputScale);
  tensors.add_values("extra.weight", "F32", {7}, std::vector<float>(7, 0.0F));
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  CheckpointSource source(*checkpoint, "some/model", ActivationRequest::kCheckpoint);
  expect_error(source.finish().error(), ErrorCode::kUnsupported, {"proj.weight"});
  ASSERT_TRUE(source.matrix("proj", kShape, false).ok());
  expect_error(source.finish().error(), ErrorCode::kUnsupported, {"\"extra.weight\"", "belongs to no layer"});
  ASSERT_TRUE(source.vector("extra.weight", 7).ok());
  EXPECT_TRUE(source.finish().ok());
}

TEST(CheckpointSource, TransposedMatricesAreRefused) {
  SafetensorsText tensors;
  tensors.add("proj.weight", "U8", {32, 8}, std::string(256, '\x12'));
  tensors.add("proj.weight_scale", "F8_E4M3", {4, 8}, std::string(32, '\x38'));
  tensors.add_values("proj.weight_scale_2", "F32", {}, std::vector<float>{kScale2});
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  CheckpointSource source(*checkpoint, "some/model", ActivationRequest::kCheckpoint);
  expect_error(source.matrix("proj", kShape, false).error(), ErrorCode::kUnsupported,
               {"\"proj.weight\"", "transposed"});
}

}  // namespace
}  // namespace nvfp4::prepare
