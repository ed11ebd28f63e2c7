// The instruction sets that run here and that some kernel asks for: forcing another one changes nothing.
#pragma once

#include <algorithm>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::support {

inline std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets;
  for (const InstructionSet set : kInstructionSets) {
    const auto kernels = kernels::linear_kernels();
    const bool is_needed =
        std::any_of(kernels.begin(), kernels.end(), [&](const kernels::LinearKernel& k) { return k.needs == set; });
    if (is_needed && runs_here(set)) sets.push_back(set);
  }
  return sets;
}

}  // namespace nvfp4::support
