// How a piece becomes tokens. The rule: of all neighbours that merge, those of the lowest rank merge first, the
// leftmost of them before the others.
#include "text/bpe_model.h"

#include <algorithm>
#include <functional>

#include "text/code_points.h"

namespace nvfp4::text {
namespace {

constexpr std::size_t kFewSymbols = 64;  // up to here looking at all pairs again is faster than a queue
constexpr std::uint32_t kNoIndex = 0xffffffff;

}  // namespace

void BpeModel::encode(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const {
  if (piece.size() > WordCache::kMaxWordBytes) {
    encode_by_merging(piece, scratch, out);
    return;
  }
  if (symbols_ == Symbols::kBytes && piece.size() == 1 &&
      byte_tokens_[static_cast<unsigned char>(piece[0])] != kNoToken) {
    out.push_back(byte_tokens_[static_cast<unsigned char>(piece[0])]);
    return;
  }
  const WordCache::Key key = cache_->key_of(piece);
  if (cache_->find(key, out)) return;
  const std::size_t old_size = out.size();
  encode_by_merging(piece, scratch, out);
  cache_->store(key, std::span(out).subspan(old_size));
}

void BpeModel::encode_by_merging(std::string_view piece, BpeScratch& scratch, std::vector<TokenId>& out) const {
  if (ignore_merges_) {
    const TokenId whole = raw_ ? raw_->find(piece) : vocabulary_.find(piece);
    if (whole != kNoToken) {
      out.push_back(whole);
      return;
    }
  }
  scratch.symbols.clear();
  append_symbols(piece, scratch.symbols);
  if (scratch.symbols.size() <= kFewSymbols) {
    merge_few(scratch, out);
  } else {
    merge_many(scratch, out);
  }
}

void BpeModel::append_symbols(std::string_view piece, std::vector<TokenId>& out) const {
  if (symbols_ == Symbols::kCharacters) {
    append_characters(piece, out);
    return;
  }
  bool unknown_before = false;
  for (const char c : piece) {
    const TokenId id = byte_tokens_[static_cast<unsigned char>(c)];
    if (id != kNoToken) {
      out.push_back(id);
    } else if (unknown_ != kNoToken && !(fuse_unknown_ && unknown_before)) {
      out.push_back(unknown_);
    }
    unknown_before = id == kNoToken;
  }
}

void BpeModel::append_characters(std::string_view piece, std::vector<TokenId>& out) const {
  // An unknown character waits for what follows: the bytes of a later one may overtake it, as in the original.
  bool pending = false;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t num_bytes = decode_at(piece.data() + at).num_bytes;
    const std::string_view character = piece.substr(at, num_bytes);
    at += num_bytes;
    const TokenId id =
        num_bytes == 1 ? byte_tokens_[static_cast<unsigned char>(character[0])] : vocabulary_.find(character);
    if (id != kNoToken) {
      if (pending) out.push_back(unknown_);
      pending = false;
      out.push_back(id);
      continue;
    }
    if (byte_fallback_ && std::all_of(character.begin(), character.end(), [this](char c) {
          return fallback_tokens_[static_cast<unsigned char>(c)] != kNoToken;
        })) {
      for (const char c : character) out.push_back(fallback_tokens_[static_cast<unsigned char>(c)]);
    } else if (unknown_ != kNoToken) {
      if (pending && !fuse_unknown_) out.push_back(unknown_);
      pending = true;
    }
  }
  if (pending) out.push_back(unknown_);
}

void BpeModel::merge_few(BpeScratch& scratch, std::vector<TokenId>& out) const {
  std::vector<TokenId>& symbols = scratch.symbols;
  std::size_t count = symbols.size();
  Merge pairs[kFewSymbols];  // pairs[i]: of symbols i and i + 1
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (rank_of(pairs[i]) < rank_of(pairs[best])) best = i;
    }
    if (pairs[best] == kNoMerge) break;
    symbols[best] = result_of(pairs[best]);
    --count;
    for (std::size_t i = best + 1; i < count; ++i) symbols[i] = symbols[i + 1];
    for (std::size_t i = best + 1; i + 1 < count; ++i) pairs[i] = pairs[i + 1];
    if (best + 1 < count) pairs[best] = merges_.find(symbols[best], symbols[best + 1]);
    if (best > 0) pairs[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
  }
  out.insert(out.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
}

void BpeModel::merge_many(BpeScratch& scratch, std::vector<TokenId>& out) const {
  std::vector<TokenId>& symbols = scratch.symbols;
  const auto count = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint64_t>& queue = scratch.queue;  // a heap of rank << 32 | index of the left symbol
  queue.clear();
  scratch.previous.resize(count);
  scratch.next.resize(count);
  scratch.merges.resize(count);  // of the symbol and the next one, as the queue last heard
  const auto offer = [&](std::uint32_t left, std::uint32_t right) {
    const Merge merge = merges_.find(symbols[left], symbols[right]);
    scratch.merges[left] = merge;
    if (merge != kNoMerge) queue.push_back(std::uint64_t{rank_of(merge)} << 32 | left);
    return merge != kNoMerge;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    scratch.previous[i] = i == 0 ? kNoIndex : i - 1;
    scratch.next[i] = i + 1 == count ? kNoIndex : i + 1;
    scratch.merges[i] = kNoMerge;
  }
  for (std::uint32_t i = 0; i + 1 < count; ++i) offer(i, i + 1);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const std::uint64_t top = queue.back();
    queue.pop_back();
    const auto left = static_cast<std::uint32_t>(top);
    const Merge merge = scratch.merges[left];
    if (merge == kNoMerge || rank_of(merge) != top >> 32) continue;  // the pair is no longer there
    const std::uint32_t right = scratch.next[left];
    const std::uint32_t after = scratch.next[right];
    const std::uint32_t before = scratch.previous[left];
    symbols[left] = result_of(merge);
    symbols[right] = kNoToken;
    scratch.merges[right] = kNoMerge;
    scratch.merges[left] = kNoMerge;
    scratch.next[left] = after;
    if (after != kNoIndex) scratch.previous[after] = left;
    if (before != kNoIndex && offer(before, left)) std::push_heap(queue.begin(), queue.end(), std::greater<>());
    if (after != kNoIndex && offer(left, after)) std::push_heap(queue.begin(), queue.end(), std::greater<>());
  }
  for (const TokenId id : symbols) {
    if (id != kNoToken) out.push_back(id);
  }
}

}  // namespace nvfp4::text
