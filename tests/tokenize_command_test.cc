// `nvfp4 tokenize`: text to ids and back through files, flags and standard input.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/byte_model.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using support::Arguments;
using support::bytes_of;
using support::expect_refusal;
using support::joined;
using support::json_of;
using support::run_nvfp4;
using support::RunResult;

class TokenizeCommand : public testing::Test {
 protected:
  [[nodiscard]] RunResult run(const Arguments& more, const fs::path& input = "/dev/null") const {
    return run_nvfp4(joined({"tokenize", model_.path()}, more), input);
  }
  support::ByteModel model_{"plain_qwen3_moe"};
};

TEST_F(TokenizeCommand, EncodesFromFlagFileAndStandardInput) {
  const std::string text = "two\nlines \xE2\x82\xAC\n";
  std::ofstream(model_.file("text.txt"), std::ios::binary) << text;
  const std::string ids = fmt::format("{}\n", fmt::join(bytes_of(text), " "));
  EXPECT_EQ(run({"--text", text}).out, ids);
  EXPECT_EQ(run({"--file", model_.file("text.txt")}).out, ids);
  EXPECT_EQ(run({"--file", "-"}, model_.file("text.txt")).out, ids);
  EXPECT_EQ(run({}, model_.file("text.txt")).out, ids);
  EXPECT_EQ(run({"--text", ""}).out, "\n");
}

TEST_F(TokenizeCommand, JsonShowsThePieces) {
  const auto json = json_of(run({"--text", "a<|end|>b\xC3\xA4", "--json"}));
  EXPECT_EQ(json["tokens"], (std::vector<int>{'a', 0xC1, 'b', 0xC3, 0xA4}));
  EXPECT_EQ(json["pieces"], (std::vector<std::string>{"a", "<|end|>", "b", "\xEF\xBF\xBD", "\xEF\xBF\xBD"}));
  const auto decoded = json_of(run({"--decode", "--text", "97 193 98", "--json"}));
  EXPECT_EQ(decoded, (nlohmann::json{{"text", "a<|end|>b"}}));
}

TEST_F(TokenizeCommand, DecodesWhatItEncoded) {
  const std::string text = "  spaces\tand \"quotes\" \xF0\x9F\x99\x82 <|begin|>\r\n";
  const RunResult ids = run({"--text", text});
  std::ofstream(model_.file("ids"), std::ios::binary) << ids.out;
  const RunResult back = run({"--decode", "--file", model_.file("ids")});
  EXPECT_EQ(back.exit_code, 0) << back.err;
  EXPECT_EQ(back.out, text);
  const auto json = json_of(run({"--text", text, "--json"}));
  EXPECT_EQ(run({"--decode", "--text", json["tokens"].dump()}).out, text);
  const std::string without = text.substr(0, text.find('<')) + "\r\n";
  EXPECT_EQ(run({"--decode", "--skip-special-tokens", "--file", model_.file("ids")}).out, without);
  EXPECT_EQ(run({"--decode", "--text", ""}).out, "");
  EXPECT_EQ(run({"--decode", "--text", "226 130"}).out, "\xEF\xBF\xBD") << "half a character";
}

TEST_F(TokenizeCommand, SpecialTokensGoAroundTheText) {
  model_.write("tokenizer_config.json", {{"add_bos_token", true}, {"bos_token", "<|begin|>"}});
  EXPECT_EQ(run({"--text", "a"}).out, "192 97\n");
  EXPECT_EQ(run({"--text", "a", "--no-special-tokens"}).out, "97\n");
}

TEST_F(TokenizeCommand, AnswersForEveryFamilyWhatItsPackageAnswers) {
  std::size_t num_families = 0;
  for (const auto& family : fs::directory_iterator(fs::path(NVFP4_FIXTURES) / "tokenizers")) {
    const std::string folder = family.path().string();
    const auto golden = nlohmann::json::parse(support::read_file(family.path() / "golden.json"));
    for (std::size_t i = 0; i < golden["cases"].size(); i += 97) {
      const auto& item = golden["cases"][i];  // text, ids, text with and without special tokens
      const std::string text = item[0].get<std::string>();
      if (text.find('\0') != std::string::npos) continue;  // no argument has one
      const auto json = json_of(run_nvfp4({"tokenize", folder, "--text", text, "--json", "--no-special-tokens"}));
      EXPECT_EQ(json["tokens"], item[1]) << folder << ": " << text;
      EXPECT_EQ(json["pieces"].size(), item[1].size());
      EXPECT_EQ(run_nvfp4({"tokenize", folder, "--decode", "--text", item[1].dump()}).out, item[2].get<std::string>())
          << folder;
    }
    ++num_families;
  }
  EXPECT_GE(num_families, 8U);
}

TEST_F(TokenizeCommand, BadInputIsRefused) {
  expect_refusal(run({"--text", "abc\xFF"}), {"UTF-8", "byte 3", "0xff"});
  expect_refusal(run({"--text", "\xE2\x82"}), {"UTF-8", "byte 0"});
  std::ofstream(model_.file("bad"), std::ios::binary) << std::string(70000, 'a') << "\x80";
  expect_refusal(run({"--file", model_.file("bad")}), {"UTF-8", "byte 70000", "0x80"});
  expect_refusal(run({}, model_.file("bad")), {"UTF-8", "byte 70000"});
  expect_refusal(run({"--file", "/nonexistent"}), {"/nonexistent", "No such file"});
  expect_refusal(run({"--text", "a", "--file", "b"}), {"--text", "--file"});
  expect_refusal(run({"--decode", "--text", "1 256"}), {"[1]", "256"});
  expect_refusal(run({"--decode", "--text", "1 x"}), {"[1]", "\"x\""});
  expect_refusal(run({"--decode", "--text", "-1"}), {"[0]", "-1"});
}

TEST_F(TokenizeCommand, BadTokenizersAreRefused) {
  expect_refusal(run_nvfp4({"tokenize", "/nonexistent/model", "--text", "a"}),
                 {"/nonexistent/model", "no such folder"});
  expect_refusal(run_nvfp4({"tokenize"}), {"DIR", "nvfp4 tokenize --help"});
  std::ofstream(model_.file("tokenizer.json"), std::ios::trunc) << "{\"version\": \"1.0\"";
  expect_refusal(run({"--text", "a"}), {model_.file("tokenizer.json"), "JSON"});
  auto tokenizer = support::byte_tokenizer();
  tokenizer["model"]["type"] = "Unigram";
  model_.write("tokenizer.json", tokenizer);
  expect_refusal(run({"--text", "a"}), {model_.file("tokenizer.json"), "Unigram", "BPE"});
  model_.remove("tokenizer.json");
  expect_refusal(run({"--text", "a"}), {model_.file("tokenizer.json"), "missing"});
}

}  // namespace
}  // namespace nvfp4
