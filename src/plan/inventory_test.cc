#include "plan/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/checkpoint_builder.h"
#include "support/opened_checkpoint.h"

namespace nvfp4::plan {
namespace {

using support::add_modelopt_nvfp4;
using support::OpenedCheckpoint;
using support::SafetensorsText;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kMoeConfig =
    R"({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts_per_tok": 2,
        "quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head"]}})";

std::vector<std::string> texts(const Result<Inventory>& inventory) {
  std::vector<std::string> out;
  EXPECT_TRUE(inventory) << (inventory ? "" : inventory.error().to_string());
  if (inventory) {
    for (const Layer& layer : inventory->layers) out.push_back(layer_text(layer));
  }
  return out;
}

void add_experts(SafetensorsText& out, std::uint32_t layer_idx, std::uint32_t num_experts, float input_scale) {
  for (std::uint32_t e = 0; e < num_experts; ++e) {
    const std::string prefix = fmt::format("model.layers.{}.mlp.experts.{}.", layer_idx, e);
    add_modelopt_nvfp4(out, prefix + "gate_proj", 32, 64, 0.5F, input_scale);
    add_modelopt_nvfp4(out, prefix + "up_proj", 32, 64, 0.5F, input_scale);
    add_modelopt_nvfp4(out, prefix + "down_proj", 64, 32, 0.5F, 0.25F);
  }
}

TEST(Inventory, FindsLayersAndCountsThoseThatAreAlike) {
  SafetensorsText tensors;
  tensors.add_values("model.embed_tokens.weight", "BF16", {8, 64}, std::vector<std::uint16_t>(8 * 64));
  for (std::uint32_t i = 0; i < 3; ++i) {
    add_experts(tensors, i, 4, 0.125F);
    add_modelopt_nvfp4(tensors, fmt::format("model.layers.{}.self_attn.q_proj", i), 32, 64, 0.5F, 0.25F);
    tensors.add_values(fmt::format("model.layers.{}.input_layernorm.weight", i), "BF16", {64},
                       std::vector<std::uint16_t>(64));
  }
  tensors.add_values("lm_head.weight", "BF16", {8, 64}, std::vector<std::uint16_t>(8 * 64));
  const OpenedCheckpoint checkpoint(tensors, kMoeConfig);
  ASSERT_TRUE(checkpoint.ok());
  const auto inventory = layers_of(*checkpoint, "dir");
  EXPECT_THAT(texts(inventory),
              ElementsAre("1 embed_tokens embedding/bf16/n8/k64", "3 self_attn.q_proj linear/w4a4/n32/k64",
                          "3 mlp.experts moe/w4a4/silu/h64/i32/e4/k2", "1 lm_head linear/bf16/n8/k64"));
  EXPECT_EQ(inventory->num_others, 3U);
  EXPECT_EQ(inventory->other_bytes, 3U * 64 * 2);
}

// Mixed precision is per layer: the same kind in two schemes is two lines.
TEST(Inventory, SchemesOfAKindAreApart) {
  SafetensorsText tensors;
  add_modelopt_nvfp4(tensors, "model.layers.0.self_attn.q_proj", 32, 64, 0.5F, 0.25F);
  tensors.add_values("model.layers.1.self_attn.q_proj.weight", "BF16", {32, 64}, std::vector<std::uint16_t>(32 * 64));
  const OpenedCheckpoint checkpoint(tensors, kMoeConfig);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_THAT(texts(layers_of(*checkpoint, "dir")),
              ElementsAre("1 self_attn.q_proj linear/w4a4/n32/k64", "1 self_attn.q_proj linear/bf16/n32/k64"));
}

// R-02: head and embedding are quantisable like all others.
TEST(Inventory, AQuantisedHeadIsALayer) {
  SafetensorsText tensors;
  add_modelopt_nvfp4(tensors, "lm_head", 32, 64, 0.5F, 0);
  const OpenedCheckpoint checkpoint(tensors, kMoeConfig);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_THAT(texts(layers_of(*checkpoint, "dir")), ElementsAre("1 lm_head linear/w4a16/n32/k64"));
}

TEST(Inventory, ExpertsWithInputScalesOfTheirOwnSaySo) {
  SafetensorsText tensors;
  add_experts(tensors, 0, 2, 0.125F);
  add_modelopt_nvfp4(tensors, "model.layers.0.mlp.experts.2.gate_proj", 32, 64, 0.5F, 0.5F);
  add_modelopt_nvfp4(tensors, "model.layers.0.mlp.experts.2.up_proj", 32, 64, 0.5F, 0.5F);
  add_modelopt_nvfp4(tensors, "model.layers.0.mlp.experts.2.down_proj", 64, 32, 0.5F, 0.25F);
  const OpenedCheckpoint checkpoint(tensors, kMoeConfig);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_THAT(texts(layers_of(*checkpoint, "dir")), ElementsAre("1 mlp.experts moe/w4a4/silu/h64/i32/e3/k2/ownscales"));
}

std::string error_of(const SafetensorsText& tensors, const std::string& config = kMoeConfig) {
  const OpenedCheckpoint checkpoint(tensors, config);
  if (!checkpoint.ok()) return "not opened";
  const auto inventory = layers_of(*checkpoint, "dir");
  return inventory ? "" : inventory.error().to_string();
}

TEST(Inventory, ExpertsThatDisagreeAreRefusedByName) {
  SafetensorsText tensors;
  add_experts(tensors, 0, 2, 0.125F);
  tensors.add_values("model.layers.0.mlp.experts.2.gate_proj.weight", "BF16", {32, 64},
                     std::vector<std::uint16_t>(32 * 64));
  EXPECT_THAT(error_of(tensors), AllOf(HasSubstr("dir: tensor \"model.layers.0.mlp.experts.2.gate_proj.weight\""),
                                       HasSubstr("is bf16"), HasSubstr("nvfp4_w4a4")));
}

TEST(Inventory, GateAndUpThatDisagreeAreRefusedByName) {
  SafetensorsText tensors;
  for (std::uint32_t e = 0; e < 2; ++e) {
    const std::string prefix = fmt::format("model.layers.0.mlp.experts.{}.", e);
    tensors.add_values(prefix + "gate_proj.weight", "BF16", {32, 64}, std::vector<std::uint16_t>(32 * 64));
    add_modelopt_nvfp4(tensors, prefix + "up_proj", 32, 64, 0.5F, 0.25F);
    add_modelopt_nvfp4(tensors, prefix + "down_proj", 64, 32, 0.5F, 0.25F);
  }
  EXPECT_THAT(error_of(tensors), AllOf(HasSubstr("experts.0.gate_proj"), HasSubstr("must agree")));
}

TEST(Inventory, ExpertsWithoutADownProjectionAreAnError) {
  SafetensorsText tensors;
  add_modelopt_nvfp4(tensors, "model.layers.0.mlp.experts.0.up_proj", 32, 64, 0.5F, 0.25F);
  EXPECT_THAT(error_of(tensors), HasSubstr("has no down projection"));
}

TEST(Inventory, TopKMustBeSaid) {
  SafetensorsText tensors;
  add_experts(tensors, 0, 2, 0.125F);
  EXPECT_THAT(error_of(tensors, R"({"model_type": "qwen3_moe"})"), HasSubstr("dir/config.json: num_experts_per_tok"));
}

// R-27: a function that kernels lack is refused, not run as another.
TEST(Inventory, AnUnknownFunctionOfExpertsIsRefused) {
  SafetensorsText tensors;
  add_experts(tensors, 0, 2, 0.125F);
  EXPECT_THAT(error_of(tensors, R"({"model_type": "x", "num_experts_per_tok": 1, "hidden_act": "mish"})"),
              HasSubstr("hidden_act: \"mish\" of experts cannot be planned"));
}

TEST(Inventory, OfAConfigurationAlone) {
  const auto inventory = layers_of_config(R"({"architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 2048,
      "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
      "vocab_size": 151936, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
      "decoder_sparse_step": 1, "mlp_only_layers": [3], "intermediate_size": 6144, "hidden_act": "silu"})",
                                          "config.json");
  EXPECT_THAT(texts(inventory),
              ElementsAre("1 embed_tokens embedding/bf16/n151936/k2048", "48 self_attn.q_proj linear/w4a4/n4096/k2048",
                          "48 self_attn.k_proj linear/w4a4/n512/k2048", "48 self_attn.v_proj linear/w4a4/n512/k2048",
                          "48 self_attn.o_proj linear/w4a4/n2048/k4096", "47 mlp.gate linear/bf16/n128/k2048",
                          "47 mlp.experts moe/w4a4/silu/h2048/i768/e128/k8/ownscales",
                          "1 mlp.gate_proj linear/w4a4/n6144/k2048", "1 mlp.up_proj linear/w4a4/n6144/k2048",
                          "1 mlp.down_proj linear/w4a4/n2048/k6144", "1 lm_head linear/bf16/n151936/k2048"));
  EXPECT_EQ(inventory->layers[2].row_unit, 128U);
}

TEST(Inventory, AConfigurationThatCannotBeExpandedIsAnError) {
  const auto other = layers_of_config(R"({"architectures": ["NemotronHForCausalLM"], "hidden_size": 64})", "c.json");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().to_string(), HasSubstr("c.json: architectures: \"NemotronHForCausalLM\""));
  const auto small = layers_of_config(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64})", "c.json");
  ASSERT_FALSE(small);
  EXPECT_THAT(small.error().to_string(), HasSubstr("c.json: vocab_size: is missing"));
}

TEST(Inventory, OfAListOfLayers) {
  const auto inventory = parse_layers("# a comment\n\n2 a linear/bf16/n64/k64\n1 b linear/w4a4/n64/k64", "f");
  EXPECT_THAT(texts(inventory), ElementsAre("2 a linear/bf16/n64/k64", "1 b linear/w4a4/n64/k64"));
  EXPECT_THAT(parse_layers("1 a linear/bf16/n64/k64\nnonsense\n", "f").error().to_string(), HasSubstr("f:2: "));
  EXPECT_THAT(parse_layers("# nothing\n", "f").error().to_string(), HasSubstr("has no layers"));
}

}  // namespace
}  // namespace nvfp4::plan
