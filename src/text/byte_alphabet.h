// The alphabet in which byte-level tokenizer files spell bytes: every byte is one printable character, byte values that
// print stand for themselves, the others for U+0100 and up.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nvfp4::text {

// The bytes that a token's text spells; nothing when a character of it is not in the alphabet.
[[nodiscard]] std::optional<std::string> bytes_of_spelling(std::string_view text);
[[nodiscard]] std::string spelling_of_byte(unsigned char byte);

}  // namespace nvfp4::text
