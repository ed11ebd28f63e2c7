// Where the time of steps went, for people and for programs.
#pragma once

#include <cstdio>
#include <nlohmann/json_fwd.hpp>

#include "layers/profile.h"

namespace nvfp4::apps {

// A table for each kind of step that there was.
void print_profile(const layers::Profile& profile, std::FILE* out);
// {"decode": {"steps", "tokens", "ms_per_step", "share_outside_linear", "stages": {name: ms per step}}, "prefill": ...}
[[nodiscard]] nlohmann::json profile_json(const layers::Profile& profile);

}  // namespace nvfp4::apps
