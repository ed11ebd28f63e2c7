#include "emulation/atomics.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "emulation/access.h"
#include "emulation/block.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

// What had been fenced when an atomic operation changed the number at an address.
std::map<const void*, View>& released() {
  static std::map<const void*, View> by_address;
  return by_address;
}

std::uint64_t changed(AtomicKind kind, std::uint64_t before, std::uint64_t value) {
  switch (kind) {
    case AtomicKind::kAdd:
      return before + value;
    case AtomicKind::kOr:
      return before | value;
    case AtomicKind::kMax:
      return std::max(before, value);
    case AtomicKind::kExchange:
      return value;
  }
  return before;
}

}  // namespace

void begin_launch_of_atomics() { released().clear(); }

std::uint64_t change_atomically(AtomicKind kind, void* address, std::size_t num_bytes, std::uint64_t value) {
  Block& block = *Block::running();
  touch(AccessKind::kAtomic, address, num_bytes, __builtin_return_address(0));
  std::uint64_t before = 0;
  std::memcpy(&before, address, num_bytes);
  const std::uint64_t after = changed(kind, before, value);
  std::memcpy(address, &after, num_bytes);
  if (!kChecksAccesses || block.shared.has(address)) return before;
  View& view = released()[address];
  view.join(block.clock().fenced);
  block.clock().acquired.join(view);
  return before;
}

void fence() {
  if (!kChecksAccesses || is_planted(PlantedFault::kNoFence)) return;
  Block& block = *Block::running();
  ThreadClock& clock = block.clock();
  clock.fenced = released_view(block.block_idx(), block.clocks(), block.thread());
  clock.view.join(clock.acquired);
}

}  // namespace nvfp4::emulation
