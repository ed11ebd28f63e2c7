// The kernels of a plan, as weights ask for them while a model is loaded. What a plan made of headers cannot know,
// scales that are negative or NaN, becomes lines of its own.
#pragma once

#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "layers/linear.h"
#include "nvfp4/result.h"
#include "plan/planner.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::models {

class PlannedKernels {
 public:
  // The plan's machine is a processor.
  explicit PlannedKernels(plan::Plan plan) : plan_(std::move(plan)) {}

  [[nodiscard]] InstructionSet instruction_set() const { return std::get<plan::Cpu>(plan_.machine).instruction_set; }

  // Of a weight whose scales were looked at; none for an embedding that is not the head as well. An Error with every
  // kernel's reason when none serves it.
  [[nodiscard]] Result<std::vector<layers::ServingKernel>> kernels_of(const prepare::PreparedWeight& weight);

  // The plan, with what was found.
  [[nodiscard]] plan::Plan take();

 private:
  [[nodiscard]] plan::PlannedLayer* find(const prepare::PreparedWeight& weight, bool odd_scales);
  [[nodiscard]] Result<plan::PlannedLayer*> odd_line(const prepare::PreparedWeight& weight);

  plan::Plan plan_;
};

}  // namespace nvfp4::models
