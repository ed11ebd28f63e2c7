// What a file that should be a model file may be instead: recognised by how it begins.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nvfp4::checkpoint {

// What to do about a file that begins with `start`; nothing when it is none of the known mix-ups.
[[nodiscard]] std::optional<std::string> foreign_file_advice(std::string_view start);

}  // namespace nvfp4::checkpoint
