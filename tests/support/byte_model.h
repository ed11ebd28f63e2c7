// A small model that reads and writes bytes: a checkpoint of tests/fixtures/parity with a tokenizer whose token ids are
// the bytes themselves. Ids of bytes that UTF-8 never has are special tokens.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/run_command.h"
#include "support/temporary_directory.h"

namespace nvfp4::support {

inline constexpr std::array<std::pair<int, const char*>, 3> kSpecialTokens = {
    {{0xC0, "<|begin|>"}, {0xC1, "<|end|>"}, {0xF5, "<|stop|>"}}};

// How byte-level vocabularies spell a byte: printable Latin-1 as itself, the others from U+0100 on.
inline std::string byte_spelling(int byte) {
  const auto printable = [](int b) { return (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD); };
  int code = byte;
  if (!printable(byte)) {
    code = 0x100;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

inline nlohmann::json byte_tokenizer() {
  nlohmann::json vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary[byte_spelling(byte)] = byte;
  nlohmann::json added = nlohmann::json::array();
  for (const auto& [id, text] : kSpecialTokens) {
    vocabulary.erase(byte_spelling(id));
    vocabulary[text] = id;
    added.push_back({{"id", id}, {"content", text}, {"special", true}, {"normalized", false}});
  }
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}};
}

class ByteModel {
 public:
  explicit ByteModel(const std::string& checkpoint) {
    for (const char* name : {"config.json", "generation_config.json", "hf_quant_config.json", "model.safetensors"}) {
      const std::filesystem::path source = std::filesystem::path(NVFP4_FIXTURES) / "parity" / checkpoint / name;
      if (std::filesystem::exists(source)) std::filesystem::copy_file(source, folder_.path() / name);
    }
    write("tokenizer.json", byte_tokenizer());
  }

  [[nodiscard]] std::string path() const { return folder_.path().string(); }
  [[nodiscard]] std::string file(const std::string& name) const { return (folder_.path() / name).string(); }

  void write(const std::string& name, const nlohmann::json& content) const { folder_.write(name, content.dump()); }
  void remove(const std::string& name) const { std::filesystem::remove(folder_.path() / name); }
  // Puts the fields of `changes` into a JSON file; null takes a field away.
  void change(const std::string& name, const nlohmann::json& changes) const {
    nlohmann::json content = nlohmann::json::parse(read_file(folder_.path() / name));
    content.merge_patch(changes);
    write(name, content);
  }

 private:
  TemporaryDirectory folder_;
};

// What the tokenizer makes of a text without special tokens.
inline std::vector<int> bytes_of(const std::string& text) {
  std::vector<int> bytes;
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace nvfp4::support
