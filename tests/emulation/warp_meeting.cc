#include "emulation/warp_meeting.h"

#include <bit>
#include <cstring>
#include <string>

#include "emulation/block.h"

namespace nvfp4::emulation {

WarpMeetings::Meeting& WarpMeetings::find(Block& block, const char* what, std::uint32_t mask) {
  const std::uint32_t warp = block.thread() / kWarpLanes;
  for (Meeting& meeting : meetings_) {
    if (meeting.warp != warp || (meeting.mask & mask) == 0) continue;
    if (meeting.mask != mask || (meeting.what != what && std::strcmp(meeting.what, what) != 0)) {
      block.fail(std::string("comes to ") + what + " while lanes of its warp wait at " + meeting.what);
    }
    return meeting;
  }
  return meetings_.emplace_back(Meeting{.warp = warp, .mask = mask, .what = what});
}

void WarpMeetings::meet(Block& block, const char* what, std::uint32_t mask, void* slot, Complete complete) {
  const std::uint32_t lane = block.thread() % kWarpLanes;
  const std::uint32_t first = block.thread() - lane;
  if ((mask >> lane & 1U) == 0) block.fail(std::string("is not in its own mask at ") + what);
  Meeting& meeting = find(block, what, mask);
  meeting.arrived |= 1U << lane;
  meeting.slots[lane] = slot;
  if (meeting.arrived != mask) {
    block.wait(what);
    return;
  }
  const Slots slots = meeting.slots;
  meeting = meetings_.back();
  meetings_.pop_back();
  complete(block, first, mask, slots);
  for (std::uint32_t others = mask & ~(1U << lane); others != 0; others &= others - 1) {
    block.wake(first + static_cast<std::uint32_t>(std::countr_zero(others)));
  }
}

}  // namespace nvfp4::emulation
