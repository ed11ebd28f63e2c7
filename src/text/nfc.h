// Normalization Form C, Unicode 9.0: the version of the normaliser in Hugging Face's `tokenizers` 0.23. Characters that
// later versions gave a combining class or a composition stay as they are.
#pragma once

#include <string>
#include <string_view>

namespace nvfp4::text {

// Whether NFC certainly leaves the text as it is; false: it may.
[[nodiscard]] bool is_surely_nfc(std::string_view utf8);
[[nodiscard]] std::string to_nfc(std::string_view utf8);

}  // namespace nvfp4::text
