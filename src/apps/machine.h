// The machine that figures are measured on.
#pragma once

#include <cstdint>
#include <string>

namespace nvfp4::apps {

[[nodiscard]] std::string processor_name();            // as the system spells it
[[nodiscard]] std::uint64_t last_level_cache_bytes();  // 0: not known
[[nodiscard]] std::uint64_t available_memory_bytes();  // 0: not known

}  // namespace nvfp4::apps
