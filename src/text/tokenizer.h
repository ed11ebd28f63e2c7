// A model's tokenizer: text to token ids and back, as Hugging Face's `tokenizers` 0.23 does it from the same file.
//
// Reads tokenizer.json files with a BPE model: byte-level ones (Qwen, Llama 3, GPT-2, Nemotron, ...) and those made
// from SentencePiece (Llama 2, Mistral). What it does not support is refused at load; truncation and padding, which are
// defaults of that library's batches, are ignored.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nvfp4/result.h"
#include "text/token_id.h"

namespace nvfp4 {

namespace text {
struct DecodeRules;
struct TokenizerParts;
}  // namespace text

// Immutable; any number of threads may use one.
class Tokenizer {
 public:
  static constexpr std::uint64_t kMaxFileBytes = 256ULL << 20;
  static constexpr std::size_t kMaxTextBytes = 1ULL << 31;

  // Reads tokenizer.json; and, where its post_processor does not say which tokens go around a text,
  // add_bos_token and add_eos_token of tokenizer_config.json.
  [[nodiscard]] static Result<Tokenizer> load(const std::filesystem::path& model_directory);
  // `json` is the content of a tokenizer.json; file_name names it in errors.
  [[nodiscard]] static Result<Tokenizer> parse(std::string_view json, std::string_view file_name);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // The tokens of a text; special tokens written in the text become those tokens. With add_special_tokens also those
  // that the file puts around every text (BOS). An Error for invalid UTF-8, with the offset in bytes, for more than
  // kMaxTextBytes, and when a regular expression of the file exceeds its limits.
  [[nodiscard]] Result<std::vector<TokenId>> encode(std::string_view utf8, bool add_special_tokens = true) const;

  // Valid UTF-8: bytes that are none become U+FFFD. Unknown ids are left out.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool skip_special_tokens = false) const;

  // The bytes that the token stands for; empty for an unknown id.
  [[nodiscard]] std::string_view bytes(TokenId id) const;
  // One past the largest id. Some ids below it may be unknown.
  [[nodiscard]] std::size_t vocab_size() const;
  [[nodiscard]] bool contains(TokenId id) const;
  [[nodiscard]] bool is_special(TokenId id) const;
  // By the text as the file spells it: "<|im_end|>", or with U+0120 for a space in byte-level vocabularies.
  [[nodiscard]] std::optional<TokenId> find(std::string_view token_text) const;

  // For StreamDecoder.
  [[nodiscard]] const text::DecodeRules& decode_rules() const;
  [[nodiscard]] bool is_fallback_byte(TokenId id) const;

 private:
  explicit Tokenizer(std::unique_ptr<const text::TokenizerParts> parts);

  std::unique_ptr<const text::TokenizerParts> parts_;
};

}  // namespace nvfp4
