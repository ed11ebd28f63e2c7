#include "plan/layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/activation_request.h"

namespace nvfp4::plan {
namespace {

using kernels::WeightFormat;
using testing::HasSubstr;

Layer layer_of(std::string_view line) {
  auto layer = parse_layer(line, "test");
  EXPECT_TRUE(layer) << (layer ? "" : layer.error().to_string());
  return layer ? *layer : Layer();
}
std::string error_of(std::string_view line) {
  const auto layer = parse_layer(line, "f:3");
  return layer ? "" : layer.error().to_string();
}

TEST(LayerText, IsReadAsItIsWritten) {
  for (const std::string line :
       {"48 self_attn.q_proj linear/w4a4/n4096/k2048", "48 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8",
        "23 mixer.experts moe/w4a4-token/relu2/h2688/i1856/e128/k6/ownscales", "1 lm_head linear/bf16/n151936/k2048",
        "1 embed_tokens embedding/bf16/n151936/k2048", "2 a linear/w4a16/n64/k64/block32",
        "2 a linear/w8a8-token/n64/k64/rows/bias", "2 a linear/w4a4/n64/k64/awq/shards3", "2 a linear/f32/n64/k64",
        "2 a linear/f16/n64/k64", "2 a linear/fp8/n64/k64", "2 a moe/w4a4/gelu_tanh/h64/i64/e8/k2",
        "2 a moe/w4a16/swigluoai/h64/i64/e8/k2"}) {
    EXPECT_EQ(layer_text(layer_of(line)), line);
  }
}

TEST(LayerText, ErrorsNameThePartAndSuggest) {
  EXPECT_THAT(error_of("mlp.experts moe"), HasSubstr("f:3: a layer is \"COUNT KIND PROBLEM\""));
  EXPECT_THAT(error_of("0 a linear/bf16/n1/k1"), HasSubstr("COUNT KIND PROBLEM"));
  EXPECT_THAT(error_of("1 a liner/bf16/n1/k1"), HasSubstr("did you mean \"linear\"?"));
  EXPECT_THAT(error_of("1 a linear/w4a15/n1/k1"), HasSubstr("did you mean \"w4a16\"?"));
  EXPECT_THAT(error_of("1 a moe/w4a4/sillu/h1/i1/e1/k1"), HasSubstr("did you mean \"silu\"?"));
  EXPECT_THAT(error_of("1 a linear/bf16/n64/k64/h3"), HasSubstr("\"h3\" says nothing of this operation"));
  EXPECT_THAT(error_of("1 a linear/bf16/n64"), HasSubstr("n or k is missing"));
  EXPECT_THAT(error_of("1 a moe/w4a4/silu/h64/e8/k2"), HasSubstr("h or i is missing"));
  EXPECT_THAT(error_of("1 a linear/bf16/nx/k1"), HasSubstr("says nothing"));
}

TEST(LayerScheme, IsTheCheckpointsName) {
  EXPECT_EQ(layer_scheme(layer_of("1 a linear/w4a4/n64/k64")), "nvfp4_w4a4");
  EXPECT_EQ(layer_scheme(layer_of("1 a linear/w4a16/n64/k64")), "nvfp4_w4a16");
  EXPECT_EQ(layer_scheme(layer_of("1 a linear/w8a8/n64/k64")), "fp8");
  EXPECT_EQ(layer_scheme(layer_of("1 a linear/bf16/n64/k64")), "bf16");
  EXPECT_EQ(layer_scheme(layer_of("1 a linear/f16/n64/k64")), "fp16");
  EXPECT_EQ(layer_scheme(layer_of("1 a linear/f32/n64/k64")), "fp32");
}

TEST(LayerCut, IsThatOfTheName) {
  const auto cut = [](const std::string& kind) { return layer_of("1 " + kind + " linear/bf16/n64/k64").cut; };
  EXPECT_EQ(cut("self_attn.q_proj"), Cut::kRows);
  EXPECT_EQ(cut("mlp.gate_proj"), Cut::kRows);
  EXPECT_EQ(cut("lm_head"), Cut::kRows);
  EXPECT_EQ(cut("self_attn.o_proj"), Cut::kColumns);
  EXPECT_EQ(cut("mlp.down_proj"), Cut::kColumns);
  EXPECT_EQ(cut("mlp.gate"), Cut::kNone);
  EXPECT_EQ(cut("mixer.in_proj"), Cut::kNone);
}

Activation chosen(std::string_view line, ActivationRequest request) {
  const auto choice = choose_activation(layer_of(line), request);
  return choice ? choice->activation : Activation::kFp8Dynamic;
}

// The checkpoint's policy is binding: nothing about kernels or scales that happen to be there changes it.
TEST(ActivationPolicy, TheCheckpointDecides) {
  EXPECT_EQ(chosen("1 a linear/w4a16/n64/k64", ActivationRequest::kCheckpoint), Activation::k16Bit);
  EXPECT_EQ(chosen("1 a linear/w4a4/n64/k64", ActivationRequest::kCheckpoint), Activation::kNvfp4Static);
  EXPECT_EQ(chosen("1 a linear/w8a8/n64/k64", ActivationRequest::kCheckpoint), Activation::kFp8Static);
  Layer weight_only = layer_of("1 a linear/w4a16/n64/k64");
  weight_only.has_input_scale = true;  // shipped, and to be ignored
  EXPECT_EQ(choose_activation(weight_only, ActivationRequest::kCheckpoint)->activation, Activation::k16Bit);
}

TEST(ActivationPolicy, ARequestOverridesItAndSaysSo) {
  for (const std::string_view line : {"1 a linear/w4a4/n64/k64", "1 a linear/w8a8/n64/k64"}) {
    const auto choice = choose_activation(layer_of(line), ActivationRequest::kW4A16);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice->activation, Activation::k16Bit);
    EXPECT_THAT(choice->reason, HasSubstr("on request"));
  }
  EXPECT_EQ(chosen("1 a linear/w4a16/n64/k64", ActivationRequest::kW4A4), Activation::kNvfp4Dynamic);
  Layer scaled = layer_of("1 a linear/w4a16/n64/k64");
  scaled.has_input_scale = true;
  EXPECT_EQ(choose_activation(scaled, ActivationRequest::kW4A4)->activation, Activation::kNvfp4Static);
}

// what is asked for one scheme touches no other.
TEST(ActivationPolicy, FourBitActivationsAreForNvfp4WeightsOnly) {
  EXPECT_EQ(chosen("1 a linear/bf16/n64/k64", ActivationRequest::kW4A4), Activation::k16Bit);
  EXPECT_EQ(chosen("1 a linear/w8a8/n64/k64", ActivationRequest::kW4A4), Activation::kFp8Static);
}

TEST(ActivationPolicy, LongBlocksDoNotGoWithFourBitActivations) {
  const auto choice = choose_activation(layer_of("1 a linear/w4a16/n64/k64/block32"), ActivationRequest::kW4A4);
  ASSERT_FALSE(choice);
  EXPECT_THAT(choice.error().to_string(), HasSubstr("blocks of 32"));
}

}  // namespace
}  // namespace nvfp4::plan
