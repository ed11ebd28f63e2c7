// What a Tokenizer consists of, in the order in which a text passes through it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/decode_rules.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/vocabulary.h"

namespace nvfp4::text {

struct TokenizerParts {
  TokenizerParts(TokenFinder raw, TokenFinder normalized, Normalizer normalizer_, PreTokenizer pre_tokenizer_,
                 BpeModel model_, std::size_t num_ids)
      : raw_tokens(std::move(raw)),
        normalizer(std::move(normalizer_)),
        normalized_tokens(std::move(normalized)),
        pre_tokenizer(std::move(pre_tokenizer_)),
        model(std::move(model_)),
        decoded(0, num_ids),
        flags(num_ids, 0) {}

  enum Flag : std::uint8_t { kSpecial = 1, kFallbackByte = 2 };

  TokenFinder raw_tokens;
  Normalizer normalizer;
  TokenFinder normalized_tokens;
  PreTokenizer pre_tokenizer;
  BpeModel model;
  PostProcessor post_processor;

  std::vector<AddedToken> added;  // by content
  DecodeRules decode_rules;
  Vocabulary decoded;               // the bytes of every token; not to be found by text
  std::vector<std::uint8_t> flags;  // by id

  // Content of an added token, then text of the model's vocabulary.
  [[nodiscard]] TokenId find(std::string_view token_text) const;
};

[[nodiscard]] Result<std::unique_ptr<TokenizerParts>> read_tokenizer(const JsonField& root);
// add_bos_token and add_eos_token of a tokenizer_config.json.
[[nodiscard]] Status apply_tokenizer_config(const JsonField& root, TokenizerParts& parts);

}  // namespace nvfp4::text
