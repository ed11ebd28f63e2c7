// The scalars of JSON (RFC 8259), strictly: no lone surrogates in strings, no numbers beyond the range of a double.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nvfp4 {

// Appends the text between a string's quotes, escapes resolved, to `out`. False: a bad escape or a lone surrogate.
// `body` is valid UTF-8 without raw control characters.
[[nodiscard]] bool unescape_json_string(std::string_view body, std::string& out);

// The value of `token` if it is one whole JSON number and finite as a double.
[[nodiscard]] std::optional<double> finite_json_number(std::string_view token);

}  // namespace nvfp4
