// The BPE model of a tokenizer.json: its vocabulary and merges, and how a piece of text becomes tokens.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nvfp4/result.h"
#include "text/json_field.h"
#include "text/merge_table.h"
#include "text/token_id.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace nvfp4::text {

// What a piece of text is made of before merging.
enum class Symbols : std::uint8_t { kBytes, kCharacters };

// Buffers of one encode call.
struct BpeScratch {
  std::vector<TokenId> symbols;
  std::vector<Merge> merges;
  std::vector<std::uint64_t> queue;
  std::vector<std::uint32_t> previous;
  std::vector<std::uint32_t> next;
};

class BpeModel {
 public:
  // `field` is the object "model".
  [[nodiscard]] static Result<BpeModel> parse(const JsonField& field, Symbols symbols);

  // Appends the tokens of one piece (not empty) to `out`. Any number of threads.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const;

  // Texts as the file spells them.
  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] std::size_t num_tokens() const { return num_tokens_; }

 private:
  BpeModel(Vocabulary vocabulary, std::size_t num_merges) : vocabulary_(std::move(vocabulary)), merges_(num_merges) {}

  Status read_options(const JsonField& field);
  Status read_merges(const JsonField& merges);
  Status read_merge(const JsonField& merge, std::uint32_t rank, std::string& joined);
  Status set_byte_tokens(const JsonField& field);

  void encode_by_merging(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const;
  void append_symbols(std::string_view piece, std::vector<TokenId>& out) const;
  void append_characters(std::string_view piece, std::vector<TokenId>& out) const;
  void merge_few(BpeScratch& scratch, std::vector<TokenId>& out) const;
  void merge_many(BpeScratch& scratch, std::vector<TokenId>& out) const;

  Symbols symbols_ = Symbols::kBytes;
  bool ignore_merges_ = false;  // a piece that is a token is that token
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  TokenId unknown_ = kNoToken;
  std::size_t num_tokens_ = 0;
  Vocabulary vocabulary_;
  std::optional<Vocabulary> raw_;               // by raw bytes, for ignore_merges of byte-level models
  std::array<TokenId, 256> byte_tokens_{};      // of one byte; kNoToken
  std::array<TokenId, 256> fallback_tokens_{};  // "<0x00>" to "<0xFF>"; kNoToken
  MergeTable merges_;
  std::unique_ptr<WordCache> cache_ = std::make_unique<WordCache>();
};

}  // namespace nvfp4::text
