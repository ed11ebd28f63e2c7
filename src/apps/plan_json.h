// A plan as programs read it (keys: docs/json.md).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "plan/planner.h"

namespace nvfp4::apps {

[[nodiscard]] nlohmann::ordered_json plan_json(const plan::Plan& plan);

}  // namespace nvfp4::apps
