// What commands are given: texts, lists of token ids, numbers in flags.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nvfp4/result.h"
#include "nvfp4/token.h"

namespace CLI {
class Validator;
}

namespace nvfp4::apps {

// Token ids as people and programs write them: "1,2,3", "1 2 3", "[1, 2, 3]", one a line. `where` begins errors.
[[nodiscard]] Result<std::vector<TokenId>> parse_tokens(std::string_view list, const std::string& where);

// A whole file, or standard input for "-".
[[nodiscard]] Result<std::string> read_text(const std::string& path);

// Checks of flags: a number in [low, high].
[[nodiscard]] CLI::Validator whole_number(std::uint64_t low, std::uint64_t high);
[[nodiscard]] CLI::Validator real_number(double low, double high);

}  // namespace nvfp4::apps
