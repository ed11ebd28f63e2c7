// Kernels of a stream that overlap: one may begin when all blocks of the one ahead have let it, and what that one and
// others wrote is there once it has waited for them. Launches have numbers in their order, from 1.
#pragma once

#include <algorithm>
#include <cstdint>

#include "emulation/clock.h"

namespace nvfp4::emulation {

struct LaunchOrder {
  std::uint32_t launch = 0;
  std::uint32_t ended_at_start = 0;  // launches up to this one have
  bool must_wait = false;            // it may have begun before the one ahead ended
  std::uint32_t ended_for_next = 0;  // at the start of a next launch that may overlap

  // Launches up to this one have ended for a thread.
  [[nodiscard]] std::uint32_t last_ended(const View& view) const {
    return view.knows_earlier_kernels() ? launch - 1 : ended_at_start;
  }
  void let_next_start(const View& view) { ended_for_next = std::max(ended_for_next, last_ended(view)); }
};

// The order of the next launch: behind all, or where it may overlap with a kernel just ahead.
[[nodiscard]] LaunchOrder begin_launch_order(bool may_overlap);
void end_launch_order(const LaunchOrder& order);
// Everything before has ended, as at a copy or when the host has waited.
void end_all_launches();

}  // namespace nvfp4::emulation
