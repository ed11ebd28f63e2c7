// Which known name somebody meant.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace nvfp4 {

// Letters to insert, delete or replace between two words.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// The known name that is nearest, empty when none is near: more than half of the letters would change.
[[nodiscard]] std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known);

// `did you mean "x"?`, or all that are known, for the end of an error.
[[nodiscard]] std::string suggestion(std::string_view name, std::span<const std::string_view> known);

}  // namespace nvfp4
