// Encoding and decoding any bytes with four small tokenizers: what comes back is the text, streamed or at once.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "text/code_points.h"
#include "text/stop_strings.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace {

// Every byte is a token; two merges; an added token of each kind.
std::string tokenizer_json(std::string_view pre_tokenizer, std::string_view normalizer) {
  std::string vocab;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    static int num_shifted = 0;
    if (byte == 0) num_shifted = 0;
    const int code_point = printable ? byte : 256 + num_shifted++;
    constexpr char kHex[] = "0123456789abcdef";
    vocab += "\"\\u0";
    for (int shift = 8; shift >= 0; shift -= 4) vocab += kHex[code_point >> shift & 15];
    vocab += "\": " + std::to_string(byte) + ", ";
  }
  return "{\"added_tokens\": [{\"id\": 258, \"content\": \"<s>\", \"special\": true}, {\"id\": 259, \"content\": "
         "\"e\\u0301\", "
         "\"lstrip\": true}, {\"id\": 260, \"content\": \"one\", \"single_word\": true, \"rstrip\": true}], "
         "\"normalizer\": " +
         std::string(normalizer) + ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [" +
         std::string(pre_tokenizer) +
         "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}, \"decoder\": {\"type\": "
         "\"ByteLevel\"}, "
         "\"model\": {\"type\": \"BPE\", \"vocab\": {" +
         vocab + "\"ab\": 256, \"aba\": 257}, \"merges\": [\"a b\", \"ab a\"]}}";
}

std::string split(std::string_view regex) {
  return R"({"type": "Split", "pattern": {"Regex": ")" + std::string(regex) +
         R"("}, "behavior": "Isolated", "invert": false}, )";
}

constexpr std::string_view kSpaces = R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";

nvfp4::Tokenizer parse(std::string_view pre_tokenizer, std::string_view normalizer) {
  auto tokenizer = nvfp4::Tokenizer::parse(tokenizer_json(pre_tokenizer, normalizer), "tokenizer.json");
  if (!tokenizer) std::abort();
  return std::move(tokenizer).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::array<nvfp4::Tokenizer, 4> kTokenizers = {
      parse("", "null"),
      parse(
          split(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|)" +
                std::string(kSpaces)),
          "null"),
      parse(
          split(
              R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|)" +
              std::string(kSpaces)),
          R"({"type": "NFC"})"),
      parse(split(R"(\\p{L}+|\\s+)"), "null"),
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool valid = nvfp4::text::find_invalid_utf8(text) == std::string_view::npos;
  for (std::size_t i = 0; i < kTokenizers.size(); ++i) {
    const auto ids = kTokenizers[i].encode(text);
    if (ids.ok() != valid) std::abort();
    if (!ids) continue;
    const std::string decoded = kTokenizers[i].decode(*ids);
    nvfp4::StreamDecoder stream(kTokenizers[i]);
    std::string streamed;
    for (const nvfp4::TokenId id : *ids) stream.push(id, streamed);
    stream.finish(streamed);
    if (streamed != decoded) std::abort();
    // Tokens that take spaces along give none back.
    if (i != 2 && text.find("e\xcc\x81") == std::string_view::npos && text.find("one") == std::string_view::npos &&
        decoded != text) {
      std::abort();
    }
  }
  nvfp4::StopStrings stops({"ab", "<s>", "\n\n"});
  std::string emitted = stops.push(text).emit;
  emitted += stops.finish();
  if (text.substr(0, emitted.size()) != emitted) std::abort();
  return 0;
}
