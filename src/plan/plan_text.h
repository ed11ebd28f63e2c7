// A plan as people read it.
#pragma once

#include <string>

#include "plan/planner.h"

namespace nvfp4::plan {

// A line for each kind of layer and range of tokens. `title` names the model.
[[nodiscard]] std::string plan_table(const Plan& plan, const std::string& title);
// The same, then what was not taken and why.
[[nodiscard]] std::string plan_text(const Plan& plan, const std::string& title);
// One line: "mlp.experts nvfp4_w4a4 1-64 moe_nvfp4_bf16_mma_bulk, 65-8192 moe_nvfp4_bf16_wgmma [fragment_16x64]".
[[nodiscard]] std::string layer_line(const PlannedLayer& line);

}  // namespace nvfp4::plan
