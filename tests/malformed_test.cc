// Bad checkpoints through the command: one line that names file, tensor or field, exit code 2, fast, little memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "support/checkpoint_builder.h"
#include "support/run_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using support::SafetensorsText;
using support::TemporaryDirectory;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

struct Case {
  std::string name;
  std::vector<std::string> mentions;  // what the error line must contain
  std::function<void(const TemporaryDirectory&)> build;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::string good_file() {
  SafetensorsText text;
  support::add_modelopt_nvfp4(text, "model.layers.0.q_proj", 32, 64, 0.25F, 0.125F);
  return text.file();
}

// A checkpoint whose only file is `bytes`.
Case file_case(std::string name, std::string bytes, std::vector<std::string> mentions) {
  mentions.push_back("model.safetensors");
  return {std::move(name), std::move(mentions),
          [bytes](const TemporaryDirectory& dir) { dir.write("model.safetensors", bytes); }};
}
Case header_case(std::string name, std::string_view header, std::vector<std::string> mentions,
                 std::size_t data_bytes = 4) {
  return file_case(std::move(name), SafetensorsText::with_header(header, std::string(data_bytes, '\1')),
                   std::move(mentions));
}
Case config_case(std::string name, std::string config, std::vector<std::string> mentions) {
  mentions.push_back("config.json");
  return {std::move(name), std::move(mentions), [config](const TemporaryDirectory& dir) {
            dir.write("config.json", config);
            dir.write("model.safetensors", good_file());
          }};
}
Case quantization_case(std::string name, std::string body, std::vector<std::string> mentions) {
  mentions.push_back("hf_quant_config.json");
  return {std::move(name), std::move(mentions), [body](const TemporaryDirectory& dir) {
            dir.write("hf_quant_config.json", "{\"quantization\": " + body + "}");
            dir.write("model.safetensors", good_file());
          }};
}
Case index_case(std::string name, std::string index, std::vector<std::string> mentions) {
  return {std::move(name), std::move(mentions), [index](const TemporaryDirectory& dir) {
            dir.write("model.safetensors.index.json", index);
            dir.write("a.safetensors", good_file());
          }};
}
// One tensor per entry, all of them inside one file.
Case tensors_case(std::string name, std::function<void(SafetensorsText&)> fill, std::vector<std::string> mentions) {
  mentions.push_back("model.safetensors");
  return {std::move(name), std::move(mentions), [fill](const TemporaryDirectory& dir) {
            SafetensorsText text;
            fill(text);
            dir.write("model.safetensors", text.file());
          }};
}

std::string with_length(std::uint64_t length, std::string_view rest) {
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)).append(rest);
}

std::vector<Case> file_cases() {
  const std::string deep(100000, '[');
  std::string many = "{";
  for (int i = 0; i < 20000; ++i)
    many += fmt::format("{}\"t{}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", i == 0 ? "" : ",", i);
  many += ",\"t7\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}";
  return {
      file_case("empty_file", "", {"empty"}),
      file_case("shorter_than_its_length_field", "\x01\x02\x03", {}),
      file_case("header_length_zero", with_length(0, ""), {"header"}),
      file_case("header_longer_than_file", with_length(1000, "{}"), {"header"}),
      file_case("header_length_huge", with_length(0x7FFFFFFFFFFFFFFFULL, "{}"), {"header"}),
      file_case("header_length_top_bit", with_length(0xFFFFFFFFFFFFFFFFULL, "{}"), {"header"}),
      file_case("header_over_the_limit", with_length(100000001, std::string(100, ' ')), {"header"}),
      file_case("lfs_pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", {"LFS"}),
      file_case("html_page", "<!DOCTYPE html><html><body>Not found</body></html>", {"HTML"}),
      file_case("truncated_data", good_file().substr(0, good_file().size() - 100), {"100"}),
      file_case("trailing_data", good_file() + "xyz", {"3"}),
      header_case("header_not_json", "not json at all", {}),
      header_case("header_is_an_array", "[]", {}, 0),
      header_case("header_not_utf8", "{\"a\xFF\":1}", {}),
      header_case("header_truncated_json", "{\"a\":{\"dtype\":\"F32\"", {}),
      header_case("header_depth_bomb", deep, {}),
      header_case("metadata_depth_bomb", "{\"__metadata__\":" + deep, {}),
      header_case(
          "duplicate_tensor",
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
          {"\"a\"", "twice"}),
      header_case("duplicate_among_many", many, {"\"t7\"", "twice"}, 0),
      header_case("duplicate_field", R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                  {"\"a\""}),
      header_case("unknown_dtype", R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", {"\"a\"", "F33"}),
      header_case("dtype_not_a_string", R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", {"\"a\"", "dtype"}),
      header_case("dtype_missing", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", {"\"a\"", "dtype"}),
      header_case("shape_missing", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", {"\"a\"", "shape"}),
      header_case("offsets_missing", R"({"a":{"dtype":"F32","shape":[1]}})", {"\"a\"", "data_offsets"}),
      header_case("shape_negative", R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", {"\"a\"", "shape"}),
      header_case("shape_fraction", R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", {"\"a\"", "shape"}),
      header_case("shape_not_an_array", R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", {"\"a\"", "shape"}),
      header_case("shape_product_overflows",
                  R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,4]}})", {"\"a\""}),
      header_case("shape_against_bytes", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", {"\"a\""}),
      header_case("offsets_reversed", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", {"\"a\""}),
      header_case("offsets_three", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})",
                  {"\"a\"", "data_offsets"}),
      header_case("offsets_beyond_u64", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]}})",
                  {"\"a\""}),
      header_case("offsets_beyond_file", R"({"a":{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}})", {}),
      header_case(
          "overlap",
          R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
          {"\"b\""}),
      header_case(
          "hole",
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
          {"\"b\""}),
      header_case("first_tensor_not_at_zero", R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})", {"\"a\""}),
      header_case("odd_number_of_f4", R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", {"\"a\""}, 2),
      header_case("metadata_not_strings", R"({"__metadata__":{"a":1}})", {"__metadata__"}, 0),
  };
}

std::vector<Case> index_cases() {
  const auto map = [](std::string_view entries) {
    return fmt::format(R"({{"metadata":{{}},"weight_map":{{{}}}}})", entries);
  };
  std::vector<Case> cases{
      index_case("index_not_json", "{\"weight_map\":", {"index.json"}),
      index_case("index_without_map", "{}", {"index.json", "weight_map"}),
      index_case("index_map_is_a_list", R"({"weight_map":[]})", {"index.json", "weight_map"}),
      index_case("index_value_not_a_string", map(R"("a":7)"), {"index.json", "\"a\""}),
      index_case("index_duplicate_name", map(R"("a":"a.safetensors","a":"a.safetensors")"), {"index.json", "\"a\""}),
      index_case("index_missing_shard", map(R"("a":"b.safetensors")"), {"b.safetensors"}),
      index_case("index_parent_path", map(R"("a":"../a.safetensors")"), {"index.json", "../a.safetensors"}),
      index_case("index_absolute_path", map(R"("a":"/etc/passwd")"), {"index.json", "/etc/passwd"}),
      index_case("index_empty_file_name", map(R"("a":"")"), {"index.json"}),
      index_case("index_nul_in_file_name", map("\"a\":\"a\\u0000.safetensors\""), {"index.json"}),
      index_case("index_names_a_tensor_that_is_not_there", map(R"("model.layers.9.q_proj.weight":"a.safetensors")"),
                 {"model.layers.9.q_proj.weight", "a.safetensors"}),
  };
  cases.push_back({"index_symlink_escapes", {"a.safetensors"}, [map](const TemporaryDirectory& dir) {
                     fs::create_directory(dir.path() / "outside");
                     fs::create_directory(dir.path() / "model");
                     dir.write("outside/a.safetensors", good_file());
                     fs::create_symlink("../outside/a.safetensors", dir.path() / "model" / "a.safetensors");
                     dir.write("model/model.safetensors.index.json",
                               map(R"("model.layers.0.q_proj.weight":"a.safetensors")"));
                   }});
  cases.push_back({"shard_is_a_directory", {"model.safetensors"}, [](const TemporaryDirectory& dir) {
                     fs::create_directory(dir.path() / "model.safetensors");
                   }});
  cases.push_back({"shard_is_a_fifo", {"model.safetensors"}, [](const TemporaryDirectory& dir) {
                     ASSERT_EQ(::mkfifo((dir.path() / "model.safetensors").c_str(), 0600), 0);
                   }});
  cases.push_back({"dangling_symlink", {"model.safetensors"}, [](const TemporaryDirectory& dir) {
                     fs::create_symlink("nowhere", dir.path() / "model.safetensors");
                   }});
  cases.push_back({"tensor_in_two_shards", {"a.safetensors", "b.safetensors"}, [](const TemporaryDirectory& dir) {
                     dir.write("a.safetensors", good_file());
                     dir.write("b.safetensors", good_file());
                   }});
  cases.push_back({"config_symlink_escapes", {"config.json"}, [](const TemporaryDirectory& dir) {
                     dir.write("outside/config.json", "{}");
                     dir.write("model/model.safetensors", good_file());
                     fs::create_symlink("../outside/config.json", dir.path() / "model" / "config.json");
                   }});
  cases.push_back({"config_symlink_dangles", {"config.json"}, [](const TemporaryDirectory& dir) {
                     dir.write("model.safetensors", good_file());
                     fs::create_symlink("nowhere", dir.path() / "config.json");
                   }});
  cases.push_back(
      {"no_weights_at_all", {"safetensors"}, [](const TemporaryDirectory& dir) { dir.write("config.json", "{}"); }});
  return cases;
}

std::vector<Case> config_cases() {
  const auto ct = [](std::string_view weights, std::string_view input = "null") {
    return fmt::format(
        R"({{"quantization_config":{{"quant_method":"compressed-tensors","config_groups":{{"group_0":{{"targets":["Linear"],)"
        R"("weights":{},"input_activations":{}}}}}}}}})",
        weights, input);
  };
  return {
      config_case("config_truncated", R"({"hidden_size": 12)", {"JSON"}),
      config_case("config_not_an_object", "[]", {"object"}),
      config_case("config_depth_bomb", "{\"a\":" + std::string(50000, '[') + std::string(50000, ']') + "}", {"deep"}),
      config_case("config_duplicate_key", R"({"hidden_size": 64, "hidden_size": 128})", {"hidden_size", "twice"}),
      config_case("config_nested_duplicate_key", R"({"a": [{"b": 1, "b": 2}]})", {"a[0].b", "twice"}),
      config_case("config_negative_size", R"({"hidden_size": -64})", {"hidden_size", "-64"}),
      config_case("config_huge_size", R"({"num_experts": 1000000000})", {"num_experts"}),
      config_case("config_fractional_size", R"({"num_hidden_layers": 2.5})", {"num_hidden_layers"}),
      config_case("config_size_is_text", R"({"vocab_size": "many"})", {"vocab_size", "many"}),
      config_case("config_size_beyond_u64", R"({"vocab_size": 99999999999999999999})", {}),
      config_case("config_heads_do_not_divide", R"({"num_attention_heads": 6, "num_key_value_heads": 4})",
                  {"num_key_value_heads"}),
      config_case("config_hidden_not_divided_by_heads", R"({"hidden_size": 100, "num_attention_heads": 6})",
                  {"hidden_size"}),
      config_case("config_more_experts_per_token_than_experts", R"({"num_experts": 4, "num_experts_per_tok": 8})",
                  {"num_experts_per_tok"}),
      config_case("config_architectures_not_a_list", R"({"architectures": "Llama"})", {"architectures"}),
      config_case("unknown_quant_method", R"({"quantization_config": {"quant_method": "gptq"}})",
                  {"quant_method", "gptq"}),
      config_case("ct_integer_weights", ct(R"({"num_bits": 4, "type": "int", "group_size": 128})"), {"group_0"}),
      config_case("ct_fp8_blocks", ct(R"({"num_bits": 8, "type": "float", "strategy": "block"})"),
                  {"group_0", "block"}),
      config_case("ct_w4a8",
                  ct(R"({"num_bits": 4, "type": "float", "group_size": 16})", R"({"num_bits": 8, "type": "float"})"),
                  {"group_0"}),
      config_case("ct_bits_are_text", ct(R"({"num_bits": "4"})"), {"num_bits"}),
      config_case(
          "ct_no_targets",
          R"({"quantization_config":{"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":4,"type":"float","group_size":16}}}}})",
          {"targets"}),
      quantization_case("unknown_quant_algo", R"({"quant_algo": "NVFP5"})", {"quant_algo", "NVFP5"}),
      quantization_case("unsupported_quant_algo", R"({"quant_algo": "W4A8_NVFP4_FP8"})",
                        {"quant_algo", "W4A8_NVFP4_FP8"}),
      quantization_case("quantization_is_a_list", "[]", {"quantization"}),
      quantization_case("quantized_layers_is_a_list", R"({"quant_algo": "MIXED_PRECISION", "quantized_layers": []})",
                        {"quantized_layers"}),
      quantization_case("layer_without_algo", R"({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"a.b": {}}})",
                        {"a.b", "quant_algo"}),
      quantization_case("layer_with_unknown_algo",
                        R"({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"a.b": {"quant_algo": "W2"}}})",
                        {"a.b", "W2"}),
      quantization_case("exclude_modules_is_text", R"({"quant_algo": "NVFP4", "exclude_modules": "lm_head"})",
                        {"exclude_modules"}),
      quantization_case("group_size_negative", R"({"quant_algo": "NVFP4", "group_size": -16})", {"group_size"}),
  };
}

std::vector<Case> weight_cases() {
  using Bytes = std::vector<std::uint8_t>;
  const auto codes = [](SafetensorsText& t, std::vector<std::uint64_t> shape) {
    std::uint64_t n = 1;
    for (std::uint64_t d : shape) n *= d;
    t.add_values("q_proj.weight", "U8", shape, Bytes(n, 0x22));
  };
  const auto scales = [](SafetensorsText& t, std::vector<std::uint64_t> shape, const char* dtype = "F8_E4M3") {
    std::uint64_t n = 1;
    for (std::uint64_t d : shape) n *= d;
    t.add_values("q_proj.weight_scale", dtype, shape, Bytes(n, 0x38));
  };
  const auto scale2 = [](SafetensorsText& t, float value) {
    t.add_values("q_proj.weight_scale_2", "F32", {}, std::vector<float>{value});
  };
  std::vector<Case> cases{
      tensors_case("codes_without_block_scales",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scale2(t, 1);
                   },
                   {"q_proj.weight\"", "weight_scale"}),
      tensors_case("codes_without_scale2",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                   },
                   {"q_proj.weight\"", "weight_scale_2"}),
      tensors_case("block_scales_one_column_short",
                   [=](auto& t) {
                     codes(t, {16, 32});
                     scales(t, {16, 3});
                     scale2(t, 1);
                   },
                   {"q_proj.weight_scale", "[16, 3]"}),
      tensors_case("block_scales_one_row_long",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {17, 2});
                     scale2(t, 1);
                   },
                   {"q_proj.weight_scale", "[17, 2]"}),
      tensors_case("k_not_a_multiple_of_16",
                   [=](auto& t) {
                     codes(t, {16, 12});
                     scales(t, {16, 1});
                     scale2(t, 1);
                   },
                   {"q_proj.weight_scale"}),
      tensors_case("block_scales_of_mxfp4",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 1}, "U8");
                     scale2(t, 1);
                   },
                   {"q_proj.weight_scale", "U8"}),
      tensors_case("multiplier_and_divisor",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                     scale2(t, 1);
                     t.add_values("q_proj.weight_global_scale", "F32", {1}, std::vector<float>{1});
                   },
                   {"q_proj.weight_scale_2", "weight_global_scale"}),
      tensors_case("scale2_is_nan",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                     scale2(t, std::nanf(""));
                   },
                   {"q_proj.weight_scale_2", "NaN"}),
      tensors_case("scale2_is_negative",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                     scale2(t, -0.5F);
                   },
                   {"q_proj.weight_scale_2", "negative"}),
      tensors_case("scale2_is_an_integer",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                     t.add_values("q_proj.weight_scale_2", "I32", {}, std::vector<std::int32_t>{1});
                   },
                   {"q_proj.weight_scale_2", "I32"}),
      tensors_case("scale2_for_unknown_rows",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                     t.add_values("q_proj.weight_scale_2", "F32", {5}, std::vector<float>(5, 1));
                   },
                   {"q_proj.weight_scale_2", "5"}),
      tensors_case("fp8_without_scale",
                   [=](auto& t) { t.add_values("q_proj.weight", "F8_E4M3", {16, 16}, Bytes(256, 0x38)); },
                   {"q_proj.weight", "weight_scale"}),
      tensors_case("fp8_scale_of_wrong_length",
                   [=](auto& t) {
                     t.add_values("q_proj.weight", "F8_E4M3", {16, 16}, Bytes(256, 0x38));
                     t.add_values("q_proj.weight_scale", "F32", {7}, std::vector<float>(7, 1));
                   },
                   {"q_proj.weight_scale", "[7]"}),
      tensors_case("fp8_scale_per_block",
                   [=](auto& t) {
                     t.add_values("q_proj.weight", "F8_E4M3", {16, 16}, Bytes(256, 0x38));
                     t.add_values("q_proj.weight_scale_inv", "F32", {1, 1}, std::vector<float>(1, 1));
                   },
                   {"q_proj.weight", "weight_scale_inv"}),
      tensors_case("integer_weights",
                   [=](auto& t) {
                     t.add_values("q_proj.weight_packed", "I32", {16, 2}, std::vector<std::int32_t>(32, 1));
                     t.add_values("q_proj.weight_scale", "F16", {16, 1}, std::vector<std::uint16_t>(16, 1));
                   },
                   {"q_proj.weight_packed", "I32"}),
      tensors_case("scale_without_its_weight", [=](auto& t) { scales(t, {16, 2}); },
                   {"q_proj.weight_scale", "q_proj.weight"}),
      tensors_case("pre_quant_scale_of_wrong_length",
                   [=](auto& t) {
                     codes(t, {16, 16});
                     scales(t, {16, 2});
                     scale2(t, 1);
                     t.add_values("q_proj.pre_quant_scale", "BF16", {31}, std::vector<std::uint16_t>(31, 0x3F80));
                   },
                   {"q_proj.pre_quant_scale", "31"}),
      tensors_case("kv_scale_is_zero",
                   [=](auto& t) { t.add_values("k_proj.k_scale", "F32", {}, std::vector<float>{0}); },
                   {"k_proj.k_scale"}),
  };
  cases.push_back({"embedding_against_config", {"embed_tokens", "vocab_size"}, [](const TemporaryDirectory& dir) {
                     dir.write("config.json", R"({"vocab_size": 100, "hidden_size": 8})");
                     SafetensorsText t;
                     t.add_values("model.embed_tokens.weight", "BF16", {8, 100},
                                  std::vector<std::uint16_t>(800, 0x3F80));
                     dir.write("model.safetensors", t.file());
                   }});
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (auto part : {file_cases(), index_cases(), config_cases(), weight_cases()})
    cases.insert(cases.end(), part.begin(), part.end());
  return cases;
}

class Malformed : public testing::TestWithParam<Case> {};

TEST_P(Malformed, GivesOneLine) {
  TemporaryDirectory directory;
  GetParam().build(directory);
  const fs::path model = fs::exists(directory.path() / "model") ? directory.path() / "model" : directory.path();
  const support::RunResult run = support::run_command({NVFP4_COMMAND, "inspect", model.string()});
  EXPECT_EQ(run.exit_code, 2) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_TRUE(run.err.starts_with("error: ")) << run.err;
  EXPECT_LT(run.err.size(), 1000U);
  for (const std::string& text : GetParam().mentions) EXPECT_THAT(run.err, testing::HasSubstr(text));
  if (!kSanitized) {
    EXPECT_LT(run.seconds, 1.0);
    EXPECT_LT(run.max_rss_kb, 64 << 10);
  }
}

TEST(MalformedInputs, AreAtLeastSixty) { EXPECT_GE(all_cases().size(), 60U); }

INSTANTIATE_TEST_SUITE_P(Inputs, Malformed, testing::ValuesIn(all_cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace nvfp4
