#include "text/stream_decoder.h"

#include "text/code_points.h"
#include "text/decode_rules.h"
#include "text/tokenizer.h"

namespace nvfp4 {

using text::DecodeRules;
using text::Utf8Step;

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

std::string StreamDecoder::push(TokenId id) {
  std::string out;
  push(id, out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  finish(out);
  return out;
}

void StreamDecoder::push(TokenId id, std::string& out) {
  if (!tokenizer_->contains(id) || (skip_special_tokens_ && tokenizer_->is_special(id))) return;
  const std::string_view bytes = tokenizer_->bytes(id);
  switch (tokenizer_->decode_rules().kind) {
    case DecodeRules::kBytes:
      push_bytes(bytes, out);
      break;
    case DecodeRules::kPieces:
      push_piece(id, bytes, out);
      break;
    case DecodeRules::kWords:
      if (any_token_) out += ' ';
      out += bytes;
      break;
  }
  any_token_ = true;
}

void StreamDecoder::finish(std::string& out) {
  if (tokenizer_->decode_rules().kind == DecodeRules::kPieces) {
    flush_fallback_bytes(out);
  } else if (!pending_.empty()) {
    out += text::kReplacementCharacter;
  }
  *this = StreamDecoder(*tokenizer_, skip_special_tokens_);
}

void StreamDecoder::push_bytes(std::string_view bytes, std::string& out) {
  std::string joined;
  if (!pending_.empty()) {
    joined = std::move(pending_);
    joined += bytes;
    bytes = joined;
    pending_.clear();
  }
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = text::utf8_step(bytes, at);
    if (step.kind == Utf8Step::kCutOff) {
      pending_ = bytes.substr(at);
      return;
    }
    if (step.kind == Utf8Step::kCharacter) {
      out += bytes.substr(at, step.num_bytes);
    } else {
      out += text::kReplacementCharacter;
    }
    at += step.num_bytes;
  }
}

void StreamDecoder::push_piece(TokenId id, std::string_view bytes, std::string& out) {
  if (tokenizer_->is_fallback_byte(id)) {
    pending_ += bytes;
    return;
  }
  flush_fallback_bytes(out);
  if (tokenizer_->decode_rules().first_token_loses_spaces && !any_token_) {
    for (const char c : bytes) {
      if (c != ' ') out += c;
    }
    return;
  }
  append_stripped(bytes, out);
}

void StreamDecoder::flush_fallback_bytes(std::string& out) {
  if (pending_.empty()) return;
  if (text::find_invalid_utf8(pending_) == std::string_view::npos) {
    append_stripped(pending_, out);
  } else {
    for (std::size_t i = 0; i < pending_.size(); ++i) append_stripped(text::kReplacementCharacter, out);
  }
  pending_.clear();
}

void StreamDecoder::append_stripped(std::string_view text, std::string& out) {
  const DecodeRules& rules = tokenizer_->decode_rules();
  while (stripping_ && !text.empty()) {
    if (num_stripped_ < rules.num_stripped && text.starts_with(rules.stripped)) {
      text.remove_prefix(rules.stripped.size());
      ++num_stripped_;
    } else {
      stripping_ = false;
    }
  }
  out += text;
}

}  // namespace nvfp4
