// The scalars of JSON (RFC 8259), strictly: no lone surrogates in strings, no numbers beyond the range of a double.
#pragma once

#include <string>
#include <string_view>

namespace nvfp4 {

// Appends the text between a string's quotes, escapes resolved, to `out`. False: a bad escape or a lone surrogate.
// `body` is valid UTF-8 without raw control characters.
[[nodiscard]] bool unescape_json_string(std::string_view body, std::string& out);

// Whether `token` is one whole JSON number whose value is finite as a double.
[[nodiscard]] bool is_finite_json_number(std::string_view token);

}  // namespace nvfp4
