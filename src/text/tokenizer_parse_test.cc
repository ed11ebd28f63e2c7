// What a tokenizer.json may look like, and what each broken one is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "text/tokenizer.h"

namespace nvfp4 {
namespace {

// A byte-level tokenizer for "a", "b", "ab" with parts to replace.
struct File {
  std::string vocab = R"({"a": 0, "b": 1, "ab": 2})";
  std::string merges = R"(["a b"])";
  std::string options = "";  // further fields of the model
  std::string added = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";
  std::string post_processor = "null";
  std::string decoder = R"({"type": "ByteLevel"})";

  [[nodiscard]] std::string text() const {
    return R"({"version": "1.0", "truncation": {"max_length": 1}, "padding": null, "added_tokens": )" + added +
           R"(, "normalizer": )" + normalizer + R"(, "pre_tokenizer": )" + pre_tokenizer + R"(, "post_processor": )" +
           post_processor + R"(, "decoder": )" + decoder + R"(, "model": {"type": "BPE", )" + options + R"("vocab": )" +
           vocab + R"(, "merges": )" + merges + "}}";
  }
};

std::string error_of(const std::string& text) {
  const auto tokenizer = Tokenizer::parse(text, "tokenizer.json");
  if (tokenizer.ok()) return "accepted";
  const std::string error = tokenizer.error().to_string();
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_LT(error.size(), 600U);
  EXPECT_THAT(error, testing::StartsWith("tokenizer.json"));
  return error;
}

Tokenizer parse(const File& file) {
  auto tokenizer = Tokenizer::parse(file.text(), "tokenizer.json");
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().to_string());
  return std::move(tokenizer).value();
}

using Ids = std::vector<TokenId>;

TEST(TokenizerParse, ReadsBothSpellingsOfMerges) {
  EXPECT_EQ(parse(File{}).encode("aba").value(), (Ids{2, 0}));
  EXPECT_EQ(parse(File{.merges = R"([["a", "b"]])"}).encode("aba").value(), (Ids{2, 0}));
  EXPECT_EQ(parse(File{.merges = "[]"}).encode("ab").value(), (Ids{0, 1}));
}

TEST(TokenizerParse, IdsMayHaveHoles) {
  const Tokenizer tokenizer = parse(File{.vocab = R"({"a": 7, "b": 1, "ab": 30})"});
  EXPECT_EQ(tokenizer.encode("aba").value(), (Ids{30, 7}));
  EXPECT_EQ(tokenizer.vocab_size(), 31U);
  EXPECT_EQ(tokenizer.bytes(8), "");
  EXPECT_EQ(tokenizer.decode(Ids{8, 30}), "ab");
}

TEST(TokenizerParse, MissingBytesAreDroppedOrUnknown) {
  EXPECT_EQ(parse(File{}).encode("axxb").value(), (Ids{2}));
  const std::string vocab = R"({"a": 0, "b": 1, "ab": 2, "?": 3})";
  EXPECT_EQ(parse(File{.vocab = vocab, .options = R"("unk_token": "?", )"}).encode("axxb").value(), (Ids{0, 3, 3, 1}));
  EXPECT_EQ(parse(File{.vocab = vocab, .options = R"("unk_token": "?", "fuse_unk": true, )"}).encode("axxb").value(),
            (Ids{0, 3, 1}));
}

TEST(TokenizerParse, RefusesWrongTypes) {
  EXPECT_THAT(error_of("[]"), testing::HasSubstr("expected an object"));
  EXPECT_THAT(error_of("{"), testing::HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("{}"), testing::HasSubstr("\"model\" is missing"));
  EXPECT_THAT(error_of(R"({"model": 3})"), testing::HasSubstr("model: expected an object, found 3"));
  EXPECT_THAT(error_of(R"({"version": "2.0", "model": {}})"), testing::HasSubstr("version"));
  EXPECT_THAT(error_of(R"({"model": {"type": "WordPiece"}})"), testing::HasSubstr("\"WordPiece\""));
  EXPECT_THAT(error_of(File{.vocab = "[]"}.text()), testing::HasSubstr("model.vocab: expected an object"));
  EXPECT_THAT(error_of(File{.merges = "{}"}.text()), testing::HasSubstr("model.merges: expected an array"));
  EXPECT_THAT(error_of(File{.added = "[3]"}.text()), testing::HasSubstr("added_tokens[0]: expected an object"));
  EXPECT_THAT(error_of(File{.decoder = "[]"}.text()), testing::HasSubstr("decoder: expected an object"));
  EXPECT_THAT(error_of(File{.options = R"("ignore_merges": 1, )"}.text()),
              testing::HasSubstr("model.ignore_merges: expected true or false"));
  EXPECT_THAT(error_of(std::string(100, '[')), testing::HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(std::string(100, '[') + std::string(100, ']')), testing::HasSubstr("nested deeper"));
  EXPECT_THAT(error_of(R"({"model": {}, "model": {}})"), testing::HasSubstr("\"model\" twice"));
}

TEST(TokenizerParse, RefusesBadVocabularies) {
  EXPECT_THAT(error_of(File{.vocab = R"({"a": 0, "b": 0, "ab": 2})"}.text()),
              testing::HasSubstr("\"a\" and \"b\" have the same id 0"));
  EXPECT_THAT(error_of(File{.vocab = R"({"a": 0, "a": 1, "b": 2, "ab": 3})"}.text()),
              testing::HasSubstr("\"a\" is there twice"));
  EXPECT_THAT(error_of(File{.vocab = R"({"a": 0, "b": 4000000000, "ab": 2})"}.text()),
              testing::HasSubstr("\"b\" has the id 4000000000"));
  EXPECT_THAT(error_of(File{.vocab = R"({"a": -1, "b": 1, "ab": 2})"}.text()),
              testing::HasSubstr("\"a\" has the id -1"));
  EXPECT_THAT(error_of(File{.vocab = R"({"a": 0.5, "b": 1, "ab": 2})"}.text()),
              testing::HasSubstr("\"a\" has the id 0.5"));
  EXPECT_THAT(error_of(File{.vocab = R"({"a": "0", "b": 1, "ab": 2})"}.text()), testing::HasSubstr("\"a\" has the id"));
}

TEST(TokenizerParse, RefusesBadMerges) {
  EXPECT_THAT(error_of(File{.merges = R"(["a b", "a c"])"}.text()),
              testing::HasSubstr("model.merges[1]: \"c\" is not in model.vocab"));
  EXPECT_THAT(error_of(File{.merges = R"(["b a"])"}.text()),
              testing::HasSubstr("model.merges[0]: \"ba\" is not in model.vocab"));
  EXPECT_THAT(error_of(File{.merges = R"(["ab"])"}.text()), testing::HasSubstr("one space between"));
  EXPECT_THAT(error_of(File{.merges = R"(["a b c"])"}.text()), testing::HasSubstr("one space between"));
  EXPECT_THAT(error_of(File{.merges = R"([["a"]])"}.text()), testing::HasSubstr("expected two tokens"));
  EXPECT_THAT(error_of(File{.merges = R"([["a", 1]])"}.text()), testing::HasSubstr("expected two tokens"));
  EXPECT_THAT(error_of(File{.merges = "[1]"}.text()), testing::HasSubstr("expected two tokens"));
}

TEST(TokenizerParse, RefusesBadAddedTokens) {
  EXPECT_THAT(error_of(File{.added = R"([{"id": 9, "content": "<x>"}])"}.text()),
              testing::HasSubstr("\"<x>\" has the id 9, but"));
  EXPECT_THAT(error_of(File{.added = R"([{"id": 1, "content": "a"}])"}.text()),
              testing::HasSubstr("model.vocab gives it 0"));
  EXPECT_THAT(error_of(File{.added = R"([{"id": 3, "content": "x"}, {"id": 4, "content": "x"}])"}.text()),
              testing::HasSubstr("added_tokens[1]: \"x\" is there twice"));
  EXPECT_THAT(error_of(File{.added = R"([{"id": -3, "content": "x"}])"}.text()),
              testing::HasSubstr("added_tokens[0].id: expected a whole number"));
  EXPECT_THAT(error_of(File{.added = R"([{"content": "x"}])"}.text()), testing::HasSubstr("\"id\" is missing"));
  EXPECT_THAT(error_of(File{.added = R"([{"id": 3, "content": ")" + std::string(10'000'000, 'x') + R"("}])"}.text()),
              testing::HasSubstr("has 10000000 bytes"));
  EXPECT_THAT(
      error_of(File{
          .added =
              R"([{"id": 3, "content": "e\u0301", "normalized": true}, {"id": 4, "content": "\u00e9", "normalized": true}])",
          .normalizer = R"({"type": "NFC"})"}
                   .text()),
      testing::HasSubstr("the same text once normalised"));
}

TEST(TokenizerParse, RefusesWhatItDoesNotSupport) {
  EXPECT_THAT(error_of(File{.options = R"("dropout": 0.1, )"}.text()), testing::HasSubstr("model.dropout: dropout"));
  EXPECT_THAT(error_of(File{.options = R"("end_of_word_suffix": "</w>", )"}.text()),
              testing::HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(error_of(File{.options = R"("unk_token": "<unk>", )"}.text()),
              testing::HasSubstr("model.unk_token: \"<unk>\" is not in model.vocab"));
  EXPECT_THAT(error_of(File{.normalizer = R"({"type": "Lowercase"})"}.text()),
              testing::HasSubstr("the normalizer \"Lowercase\" is not supported"));
  EXPECT_THAT(error_of(File{.pre_tokenizer = R"({"type": "Whitespace"})"}.text()),
              testing::HasSubstr("the pre_tokenizer \"Whitespace\""));
  EXPECT_THAT(error_of(File{.pre_tokenizer =
                                R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})"}
                           .text()),
              testing::HasSubstr("pre_tokenizer.pretokenizers[1]: \"Digits\" after ByteLevel"));
  EXPECT_THAT(
      error_of(File{.pre_tokenizer =
                        R"({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false})"}
                   .text()),
      testing::HasSubstr("pre_tokenizer.pattern: the regular expression \"(\" does not compile"));
  EXPECT_THAT(error_of(File{.decoder = R"({"type": "WordPiece"})"}.text()),
              testing::HasSubstr("the decoder \"WordPiece\""));
  EXPECT_THAT(error_of(File{.post_processor = R"({"type": "Other"})"}.text()),
              testing::HasSubstr("the post_processor \"Other\""));
  EXPECT_THAT(
      error_of(File{
          .post_processor =
              R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}], "special_tokens": {}})"}
                   .text()),
      testing::HasSubstr("\"<s>\" is missing"));
}

TEST(TokenizerParse, AHugeTokenOfTheModelIsATokenLikeAnother) {
  const std::string huge(10'000'000, 'a');
  const Tokenizer tokenizer = parse(File{.vocab = R"({"a": 0, "b": 1, "ab": 2, ")" + huge + R"(": 3})"});
  EXPECT_EQ(tokenizer.bytes(3).size(), huge.size());
}

class ModelFolder : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("nvfp4_tokenizer_" + std::to_string(getpid()));
    std::filesystem::create_directories(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }

  std::filesystem::path path_;
};

TEST_F(ModelFolder, TheConfigurationSaysWhichTokensGoAroundWhenTheTokenizerDoesNot) {
  EXPECT_THAT(Tokenizer::load(path_).error().to_string(), testing::HasSubstr("tokenizer.json"));
  File file{.added = R"([{"id": 3, "content": "<s>", "special": true}])"};
  write("tokenizer.json", file.text());
  write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": {"content": "<s>"}, "add_eos_token": false})");
  EXPECT_EQ(Tokenizer::load(path_).value().encode("a").value(), (Ids{3, 0}));
  EXPECT_EQ(Tokenizer::load(path_).value().encode("a", false).value(), (Ids{0}));

  file.post_processor =
      R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}], "special_tokens": {}})";
  write("tokenizer.json", file.text());
  EXPECT_EQ(Tokenizer::load(path_).value().encode("a").value(), (Ids{0}));

  file.post_processor = "null";
  write("tokenizer.json", file.text());
  write("tokenizer_config.json", R"({"add_eos_token": true, "eos_token": "</s>"})");
  EXPECT_THAT(Tokenizer::load(path_).error().to_string(), testing::HasSubstr("eos_token: \"</s>\" is no token"));
}

}  // namespace
}  // namespace nvfp4
