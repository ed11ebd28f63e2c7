#include "text/tokenizer.h"

#include <fmt/format.h>

#include "base/file.h"
#include "text/code_points.h"
#include "text/stream_decoder.h"
#include "text/tokenizer_parts.h"

namespace nvfp4 {

using text::TokenizerParts;

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::parse(std::string_view json, std::string_view file_name) {
  auto document = text::JsonDocument::parse(json, file_name);
  if (!document) return std::move(document).error();
  auto parts = text::read_tokenizer(document->root());
  if (!parts) return std::move(parts).error();
  return Tokenizer(std::move(parts).value());
}

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& model_directory) {
  const std::filesystem::path path = model_directory / "tokenizer.json";
  auto json = read_text_file(path, kMaxFileBytes);
  if (!json) return std::move(json).error();
  auto document = text::JsonDocument::parse(*json, path.string());
  if (!document) return std::move(document).error();
  auto parts = text::read_tokenizer(document->root());
  if (!parts) return std::move(parts).error();

  const std::filesystem::path config_path = model_directory / "tokenizer_config.json";
  std::error_code unknown;
  if (!(*parts)->post_processor.tells && std::filesystem::exists(config_path, unknown)) {
    auto config_json = read_text_file(config_path, kMaxFileBytes);
    if (!config_json) return std::move(config_json).error();
    auto config = text::JsonDocument::parse(*config_json, config_path.string());
    if (!config) return std::move(config).error();
    NVFP4_RETURN_IF_ERROR(text::apply_tokenizer_config(config->root(), **parts));
  }
  return Tokenizer(std::move(parts).value());
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view utf8, bool add_special_tokens) const {
  if (utf8.size() > kMaxTextBytes) {
    return Error{ErrorCode::kInvalidArgument, "the text to encode",
                 fmt::format("has {} bytes; at most {} are supported", utf8.size(), kMaxTextBytes)};
  }
  if (const std::size_t at = text::find_invalid_utf8(utf8); at != std::string_view::npos) {
    return Error{ErrorCode::kInvalidArgument, "the text to encode",
                 fmt::format("is not valid UTF-8 at byte {} (0x{:02x})", at, static_cast<unsigned char>(utf8[at]))};
  }
  std::vector<TokenId> out;
  out.reserve(utf8.size() / 4 + 8);
  const TokenizerParts& parts = *parts_;
  if (add_special_tokens) out = parts.post_processor.before;
  text::BpeScratch scratch;
  std::string normalized;
  Status status;
  const auto append_token = [&out](TokenId id) { out.push_back(id); };
  const auto encode_piece = [&](std::string_view piece) { parts.model.encode(piece, scratch, out); };
  parts.raw_tokens.split(
      utf8,
      [&](std::string_view raw) {
        const std::string_view gap = parts.normalizer.apply(raw, normalized);
        parts.normalized_tokens.split(
            gap,
            [&](std::string_view text) {
              if (!status) return;
              const bool at_start = raw.data() == utf8.data() && text.data() == gap.data();
              status = parts.pre_tokenizer.split(text, at_start, encode_piece);
            },
            append_token);
      },
      append_token);
  if (!status) return std::move(status).error();
  if (add_special_tokens) {
    out.insert(out.end(), parts.post_processor.after.begin(), parts.post_processor.after.end());
  }
  return out;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  StreamDecoder decoder(*this, skip_special_tokens);
  std::string out;
  for (const TokenId id : ids) decoder.push(id, out);
  decoder.finish(out);
  return out;
}

std::string_view Tokenizer::bytes(TokenId id) const { return parts_->decoded.text(id); }
std::size_t Tokenizer::vocab_size() const { return parts_->flags.size(); }
bool Tokenizer::contains(TokenId id) const { return parts_->decoded.has(id); }

bool Tokenizer::is_special(TokenId id) const {
  return id < parts_->flags.size() && (parts_->flags[id] & TokenizerParts::kSpecial) != 0;
}

bool Tokenizer::is_fallback_byte(TokenId id) const {
  return id < parts_->flags.size() && (parts_->flags[id] & TokenizerParts::kFallbackByte) != 0;
}

std::optional<TokenId> Tokenizer::find(std::string_view token_text) const {
  const TokenId id = parts_->find(token_text);
  return id == text::kNoToken ? std::nullopt : std::optional(id);
}

const text::DecodeRules& Tokenizer::decode_rules() const { return parts_->decode_rules; }

}  // namespace nvfp4
