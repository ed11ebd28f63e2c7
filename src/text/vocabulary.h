// Texts by token and tokens by text. Texts lie in one block.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/name_table.h"
#include "text/token_id.h"

namespace nvfp4::text {

class Vocabulary {
 public:
  // For at most `num_texts` texts that are to be found by text, with ids below `num_ids`.
  Vocabulary(std::size_t num_texts, std::size_t num_ids)
      : hasher_(NameHasher::random()), table_(num_texts), ranges_(num_ids) {}

  [[nodiscard]] std::size_t num_ids() const { return ranges_.size(); }
  [[nodiscard]] bool has(TokenId id) const { return id < ranges_.size() && ranges_[id].used; }
  // Empty for an unknown id.
  [[nodiscard]] std::string_view text(TokenId id) const {
    if (!has(id)) return {};
    return std::string_view(block_).substr(ranges_[id].begin, ranges_[id].num_bytes);
  }
  [[nodiscard]] TokenId find(std::string_view text) const {
    return table_.find(hasher_(text), [this, text](std::uint32_t id) { return this->text(id) == text; });
  }

  // Stores the text of `id`, which has none yet. Not to be found by text until index(id).
  void store(TokenId id, std::string_view text) {
    ranges_[id] = {block_.size(), static_cast<std::uint32_t>(text.size()), true};
    block_ += text;
  }
  // Makes the text of `id` findable. Another token with the same text stays the one that is found; it is returned.
  TokenId index(TokenId id) {
    const std::string_view text = this->text(id);
    return table_.insert(hasher_(text), id, [this, text](std::uint32_t other) { return this->text(other) == text; });
  }

 private:
  struct Range {
    std::uint64_t begin = 0;
    std::uint32_t num_bytes = 0;
    bool used = false;
  };

  NameHasher hasher_;
  NameTable table_;
  std::vector<Range> ranges_;
  std::string block_;
};

}  // namespace nvfp4::text
