#include "layers/profile.h"

#include <numeric>
#include <utility>

namespace nvfp4::layers {

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::kEmbedding:
      return "embedding";
    case Stage::kNorms:
      return "norms";
    case Stage::kQkvLinear:
      return "q, k, v linear";
    case Stage::kRopeAndCache:
      return "rope, cache write";
    case Stage::kAttention:
      return "attention";
    case Stage::kOutLinear:
      return "o linear";
    case Stage::kRouter:
      return "router";
    case Stage::kGateUp:
      return "gate, up linear";
    case Stage::kActivation:
      return "activation";
    case Stage::kDown:
      return "down linear";
    case Stage::kExpertSum:
      return "expert rows, sum";
    case Stage::kHead:
      return "head";
    case Stage::kSampling:
      return "sampling";
    case Stage::kRest:
      return "rest";
  }
  return "";
}

bool is_linear(Stage stage) {
  switch (stage) {
    case Stage::kQkvLinear:
    case Stage::kOutLinear:
    case Stage::kRouter:
    case Stage::kGateUp:
    case Stage::kDown:
    case Stage::kHead:
      return true;
    default:
      return false;
  }
}

Profile::Clock::duration Profile::Steps::total() const {
  return std::accumulate(times.begin(), times.end(), Clock::duration::zero());
}

double Profile::Steps::share_outside_linear() const {
  if (total() == Clock::duration::zero()) return 0;
  Clock::duration outside = Clock::duration::zero();
  for (std::size_t i = 0; i < kNumStages; ++i) {
    if (!is_linear(static_cast<Stage>(i))) outside += times[i];
  }
  return static_cast<double>(outside.count()) / static_cast<double>(total().count());
}

void Profile::begin_step(StepKind kind, std::size_t num_tokens) {
  current_ = &steps_[static_cast<std::size_t>(kind)];
  ++current_->num_steps;
  current_->num_tokens += num_tokens;
  stage_ = Stage::kRest;
  since_ = Clock::now();
}

void Profile::end_step() {
  enter(Stage::kRest);
  current_ = nullptr;
}

Stage Profile::enter(Stage stage) {
  if (current_ != nullptr) {
    const Clock::time_point now = Clock::now();
    current_->times[static_cast<std::size_t>(stage_)] += now - since_;
    since_ = now;
  }
  return std::exchange(stage_, stage);
}

}  // namespace nvfp4::layers
