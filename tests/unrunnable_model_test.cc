// Checkpoints that read well but cannot be run: one line that names the file and the tensor or field, exit code 2.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "support/byte_model.h"
#include "support/checkpoint_builder.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using support::Arguments;
using support::ByteModel;
using support::expect_refusal;
using support::run_nvfp4;

struct Tensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::string bytes;
};

// The tensors of model.safetensors, changed and written again.
void rewrite(const ByteModel& model, const std::function<void(std::vector<Tensor>&)>& change) {
  const std::string file = support::read_file(model.file("model.safetensors"));
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  const json header = json::parse(file.substr(8, header_bytes));
  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto begin = entry["data_offsets"][0].get<std::size_t>();
    const auto end = entry["data_offsets"][1].get<std::size_t>();
    tensors.push_back({name, entry["dtype"], entry["shape"], file.substr(8 + header_bytes + begin, end - begin)});
  }
  change(tensors);
  support::SafetensorsText text;
  for (const Tensor& tensor : tensors) text.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
  std::ofstream(model.file("model.safetensors"), std::ios::binary | std::ios::trunc) << text.file();
}

Tensor& find(std::vector<Tensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
}

void remove(std::vector<Tensor>& tensors, const std::string& prefix) {
  std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name.starts_with(prefix); });
}

struct Fault {
  std::string name;
  std::vector<std::string> mentions;
  std::function<void(const ByteModel&)> spoil;
  Arguments flags;
};

void PrintTo(const Fault& c, std::ostream* out) { *out << c.name; }

Fault config_fault(std::string name, json changes, std::vector<std::string> mentions) {
  mentions.push_back("config.json");
  return {
      std::move(name), std::move(mentions), [=](const ByteModel& model) { model.change("config.json", changes); }, {}};
}
Fault generation_fault(std::string name, json changes, std::vector<std::string> mentions) {
  mentions.push_back("generation_config.json");
  return {std::move(name),
          std::move(mentions),
          [=](const ByteModel& model) { model.change("generation_config.json", changes); },
          {}};
}
Fault tensor_fault(std::string name, std::function<void(std::vector<Tensor>&)> change,
                   std::vector<std::string> mentions) {
  return {std::move(name), std::move(mentions), [=](const ByteModel& model) { rewrite(model, change); }, {}};
}

std::vector<Fault> config_faults() {
  return {
      config_fault("unknown_architecture", {{"architectures", {"BertModel"}}},
                   {"architectures", "BertModel", "LlamaForCausalLM"}),
      config_fault("no_architecture", {{"architectures", nullptr}, {"model_type", "bert"}}, {"architectures", "bert"}),
      config_fault("empty_architectures", {{"architectures", json::array()}, {"model_type", nullptr}},
                   {"architectures"}),
      config_fault("architecture_is_a_number", {{"architectures", {7}}}, {"architectures"}),
      config_fault("layers_are_zero", {{"num_hidden_layers", 0}}, {"num_hidden_layers", "above zero"}),
      config_fault("hidden_size_missing", {{"hidden_size", nullptr}}, {"hidden_size", "missing"}),
      config_fault("context_missing", {{"max_position_embeddings", nullptr}}, {"max_position_embeddings", "missing"}),
      config_fault("heads_do_not_share", {{"num_key_value_heads", 3}}, {"num_key_value_heads", "3", "4"}),
      config_fault("head_dim_odd", {{"head_dim", 63}}, {"head_dim", "63"}),
      config_fault("more_experts_per_token_than_experts", {{"num_experts_per_tok", 9}}, {"num_experts_per_tok"}),
      config_fault("no_experts_per_token", {{"num_experts_per_tok", 0}}, {"num_experts_per_tok"}),
      config_fault("sparse_step_zero", {{"decoder_sparse_step", 0}}, {"decoder_sparse_step"}),
      config_fault("mlp_only_layers_is_text", {{"mlp_only_layers", "none"}}, {"mlp_only_layers"}),
      config_fault("unknown_rope", {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 4}}}},
                   {"rope_type", "yarn", "llama3"}),
      config_fault("llama3_rope_without_factor", {{"rope_parameters", {{"rope_type", "llama3"}}}},
                   {"rope_parameters", "factor"}),
      config_fault("rope_theta_zero", {{"rope_parameters", {{"rope_theta", 0}}}}, {"rope_theta"}),
      config_fault("gelu", {{"hidden_act", "gelu"}}, {"hidden_act", "gelu", "silu"}),
      config_fault("epsilon_below_zero", {{"rms_norm_eps", -1}}, {"rms_norm_eps", "above zero"}),
      config_fault("no_dense_width", {{"intermediate_size", 0}}, {"intermediate_size", "above zero"}),
      config_fault("no_expert_width", {{"moe_intermediate_size", 0}}, {"moe_intermediate_size", "above zero"}),
      config_fault("epsilon_is_text", {{"rms_norm_eps", "small"}}, {"rms_norm_eps"}),
      config_fault("bias_flag_is_a_number", {{"attention_bias", 1}}, {"attention_bias"}),
      config_fault("layer_type_unknown", {{"layer_types", {"full_attention", "mamba", "full_attention"}}},
                   {"layer_types", "mamba"}),
      config_fault("layer_types_too_few", {{"layer_types", {"full_attention"}}}, {"layer_types", "1", "3"}),
      config_fault("window_without_end", {{"use_sliding_window", true}, {"sliding_window", -1}}, {"sliding_window"}),
      {"config_cut_off",
       {"config.json", "JSON"},
       [](const ByteModel& model) {
         std::ofstream(model.file("config.json"), std::ios::trunc) << R"({"architectures": ["Qwen3)";
       },
       {}},
      {"config_missing", {"config.json", "missing"}, [](const ByteModel& model) { model.remove("config.json"); }, {}},
      {"w4a4_of_blocks_of_32",
       {"blocks of 32", "w4a16"},
       [](const ByteModel& model) {
         for (const char* name : {"config.json", "hf_quant_config.json", "model.safetensors"}) {
           fs::copy_file(fs::path(NVFP4_FIXTURES) / "modelopt_w4a16_nvfp4_block32" / name, model.file(name),
                         fs::copy_options::overwrite_existing);
         }
       },
       {"--activations", "w4a4"}},
  };
}

std::vector<Fault> generation_faults() {
  return {
      generation_fault("eos_is_text", {{"eos_token_id", "<|end|>"}}, {"eos_token_id", "<|end|>"}),
      generation_fault("eos_list_has_a_negative", {{"eos_token_id", {2, -1}}}, {"eos_token_id[1]"}),
      generation_fault("temperature_is_text", {{"temperature", "hot"}}, {"temperature", "hot"}),
      generation_fault("temperature_below_zero", {{"temperature", -1}}, {"temperature", "-1"}),
      generation_fault("top_p_above_one", {{"top_p", 1.5}}, {"top_p", "1.5"}),
      generation_fault("top_k_is_a_fraction", {{"top_k", 2.5}}, {"top_k"}),
      generation_fault("do_sample_is_a_number", {{"do_sample", 1}}, {"do_sample"}),
      generation_fault("no_new_tokens", {{"max_new_tokens", 0}}, {"max_new_tokens"}),
      {"generation_config_is_a_list",
       {"generation_config.json", "object"},
       [](const ByteModel& model) { model.write("generation_config.json", json::array()); },
       {}},
  };
}

std::vector<Fault> tokenizer_faults() {
  return {
      {"tokenizer_missing",
       {"tokenizer.json", "missing", "--prompt-tokens"},
       [](const ByteModel& model) { model.remove("tokenizer.json"); },
       {}},
      {"tokenizer_of_another_model",
       {"tokenizer.json", "256", "vocabulary"},
       [](const ByteModel& model) {
         json tokenizer = support::byte_tokenizer();
         tokenizer["model"]["vocab"]["longer"] = 256;
         model.write("tokenizer.json", tokenizer);
       },
       {}},
      {"tokenizer_cut_off",
       {"tokenizer.json", "JSON"},
       [](const ByteModel& model) { std::ofstream(model.file("tokenizer.json"), std::ios::trunc) << "{"; },
       {}},
      {"tokenizer_of_another_kind",
       {"tokenizer.json", "WordPiece"},
       [](const ByteModel& model) {
         json tokenizer = support::byte_tokenizer();
         tokenizer["model"]["type"] = "WordPiece";
         model.write("tokenizer.json", tokenizer);
       },
       {}},
  };
}

std::vector<Fault> tensor_faults() {
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  const std::string expert = "model.layers.0.mlp.experts.1.gate_proj";
  std::vector<Fault> faults = {
      tensor_fault("matrix_missing", [](auto& t) { remove(t, "model.layers.2.self_attn.o_proj"); },
                   {"model.layers.2.self_attn.o_proj.weight", "Qwen3MoeForCausalLM"}),
      tensor_fault("norm_missing", [](auto& t) { remove(t, "model.norm"); }, {"model.norm.weight"}),
      tensor_fault("expert_missing", [expert](auto& t) { remove(t, expert); }, {expert + ".weight"}),
      tensor_fault("head_missing", [](auto& t) { remove(t, "lm_head"); }, {"lm_head.weight"}),
      tensor_fault(
          "extra_matrix",
          [](auto& t) { t.push_back({"model.layers.0.mlp.adapter.weight", "BF16", {2, 2}, std::string(8, '\1')}); },
          {"model.layers.0.mlp.adapter.weight", "no layer"}),
      tensor_fault("extra_layer",
                   [](auto& t) {
                     t.push_back({"model.layers.3.input_layernorm.weight", "BF16", {192}, std::string(384, '\1')});
                   },
                   {"model.layers.3.input_layernorm.weight"}),
      tensor_fault("norm_of_another_size",
                   [](auto& t) {
                     Tensor& norm = find(t, "model.norm.weight");
                     norm.shape = {96};
                     norm.bytes.resize(192);
                   },
                   {"model.norm.weight", "[96]", "[192]"}),
      tensor_fault("router_turned",
                   [](auto& t) {
                     std::swap(find(t, "model.layers.0.mlp.gate.weight").shape[0],
                               find(t, "model.layers.0.mlp.gate.weight").shape[1]);
                   },
                   {"model.layers.0.mlp.gate.weight", "[192, 8]", "[8, 192]"}),
      tensor_fault("head_of_integers",
                   [](auto& t) {
                     find(t, "lm_head.weight") = {
                         "lm_head.weight", "I32", {256, 192}, std::string(256 * 192 * 4, '\1')};
                   },
                   {"lm_head.weight", "I32"}),
      tensor_fault("norm_of_integers",
                   [](auto& t) {
                     find(t, "model.norm.weight") = {"model.norm.weight", "I32", {192}, std::string(192 * 4, '\1')};
                   },
                   {"model.norm.weight", "I32"}),
      tensor_fault("one_expert_not_quantised",
                   [expert](auto& t) {
                     remove(t, expert);
                     t.push_back({expert + ".weight", "BF16", {64, 192}, std::string(64 * 192 * 2, '\1')});
                   },
                   {expert + ".weight", "bf16", "nvfp4_w4a4", "alike"}),
  };
  const auto by_config = [&](std::string name, json changes, std::vector<std::string> mentions) {
    faults.push_back({std::move(name),
                      std::move(mentions),
                      [=](const ByteModel& model) { model.change("config.json", changes); },
                      {}});
  };
  by_config("heads_of_another_model", {{"num_attention_heads", 8}}, {q, "[256, 192]", "[512, 192]"});
  by_config("fewer_experts_than_in_the_file", {{"num_local_experts", 4}}, {"model.layers.0.mlp.", "8", "4"});
  by_config("more_experts_than_in_the_file", {{"num_local_experts", 16}}, {"model.layers.0.mlp.", "16"});
  by_config("more_layers_than_in_the_file", {{"num_hidden_layers", 4}}, {"model.layers.3."});
  by_config("experts_of_another_size", {{"moe_intermediate_size", 128}},
            {"model.layers.0.mlp.experts.0.gate_proj.weight", "[64, 192]", "[128, 192]"});
  by_config("biases_that_are_not_there", {{"attention_bias", true}}, {"model.layers.0.self_attn.q_proj.bias"});
  return faults;
}

class Unrunnable : public testing::TestWithParam<Fault> {
 protected:
  static void expect_refused(const Arguments& command) {
    const support::RunResult result = run_nvfp4(command);
    expect_refusal(result, {});
    for (const std::string& text : GetParam().mentions) {
      EXPECT_NE(result.err.find(text), std::string::npos) << text << " in " << result.err;
    }
  }
};

TEST_P(Unrunnable, GivesOneLine) {
  const ByteModel model("modelopt_w4a4_qwen3_moe");
  GetParam().spoil(model);
  expect_refused(support::joined({"run", model.path(), "--prompt", "x", "--max-tokens", "1"}, GetParam().flags));
}

std::vector<Fault> all_faults() {
  std::vector<Fault> faults;
  for (auto part : {config_faults(), generation_faults(), tokenizer_faults(), tensor_faults()}) {
    faults.insert(faults.end(), part.begin(), part.end());
  }
  return faults;
}

INSTANTIATE_TEST_SUITE_P(Inputs, Unrunnable, testing::ValuesIn(all_faults()),
                         [](const auto& test) { return test.param.name; });

// The model of all faults is good before it is spoiled.
TEST(UnrunnableInputs, AreMadeOfAGoodModel) {
  const ByteModel model("modelopt_w4a4_qwen3_moe");
  rewrite(model, [](auto&) {});
  EXPECT_EQ(run_nvfp4({"run", model.path(), "--prompt", "x", "--max-tokens", "1"}).exit_code, 0);
}

// Every command that runs models refuses them alike.
TEST(UnrunnableInputs, AreRefusedByEveryCommand) {
  const ByteModel model("modelopt_w4a4_qwen3_moe");
  model.change("config.json", {{"hidden_act", "gelu"}});
  const std::string text = model.file("config.json");
  for (const Arguments& command :
       {Arguments{"logits", model.path(), "--tokens", "1", "--out", model.file("x.npy")},
        Arguments{"bench", "engine", model.path()}, Arguments{"eval", model.path(), "--text", text},
        Arguments{"run", "--dummy-weights", "--config", text, "--prompt-tokens", "1"}}) {
    expect_refusal(run_nvfp4(command), {"config.json", "hidden_act", "gelu"});
  }
  EXPECT_FALSE(fs::exists(model.file("x.npy")));
}

// Layers that no kernel takes, in a configuration without a file of weights.
TEST(UnrunnableInputs, AreFoundInConfigurations) {
  const ByteModel model("modelopt_w4a4_qwen3_moe");
  const auto run_dummy = [&](const Arguments& flags) {
    return run_nvfp4(support::joined({"run", "--dummy-weights", "--config", model.file("config.json"),
                                      "--prompt-tokens", "1", "--max-tokens", "1", "-q"},
                                     flags));
  };
  EXPECT_EQ(run_dummy({}).exit_code, 0);
  model.change("config.json", {{"moe_intermediate_size", 72}});
  expect_refusal(run_dummy({}), {"config.json", "model.layers.0.mlp.experts", "72", "16"});
}

}  // namespace
}  // namespace nvfp4
