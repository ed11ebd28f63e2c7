// UTF-8 and the properties of code points that splitting and normalising ask for. Unicode 16.0, the version of the
// regular expressions in Hugging Face's `tokenizers` 0.23; all texts here are valid UTF-8 unless said otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nvfp4::text {

enum CharClass : std::uint8_t {
  kLetter = 1,  // \p{L}
  kNumber = 2,  // \p{N}
  kSpace = 4,   // White_Space
  kMark = 8,    // \p{M}
  kUpper = 16,  // \p{Lu} \p{Lt}
  kLower = 32,  // \p{Ll}
  kWord = 64,   // \w: alphabetic, marks, decimal and letter numbers, connector punctuation, joiners
  kNfc = 128,   // NFC may change it, compose it with what stands before it, or move it
};

inline constexpr std::size_t kNumCodePoints = 0x110000;
using ClassTable = std::array<std::uint8_t, kNumCodePoints>;

// CharClass bits by code point; made at the first call, immutable after it.
[[nodiscard]] const ClassTable& class_table();

struct CodePoint {
  std::uint32_t value;
  std::uint32_t num_bytes;
};

// The character that starts at `at`.
[[nodiscard]] inline CodePoint decode_at(const char* at) {
  const auto byte = [at](int i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(at[i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

[[nodiscard]] inline bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// The character that ends just before `end`; there must be one.
[[nodiscard]] inline CodePoint decode_before(const char* end) {
  const char* at = end - 1;
  while (is_continuation(*at)) --at;
  return decode_at(at);
}

void append_utf8(std::uint32_t code_point, std::string& out);

// The offset of the first byte that is not part of valid UTF-8; npos when all of it is.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view bytes);

// What the bytes from `at` on are: a character, an ill-formed sequence (`num_bytes` to replace by one U+FFFD), or the
// beginning of a character that the end of the bytes cuts off.
struct Utf8Step {
  enum Kind : std::uint8_t { kCharacter, kIllFormed, kCutOff } kind;
  std::size_t num_bytes;
};
[[nodiscard]] Utf8Step utf8_step(std::string_view bytes, std::size_t at);

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

}  // namespace nvfp4::text
