#include "emulation/atomics.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "emulation/access.h"
#include "emulation/block.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

// What had been fenced when an atomic operation changed the number at an address of global memory.
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
  if (!kChecksAccesses) return before;
  const bool is_shared = block.shared.has(address);
  FencedViews& mine = is_shared ? block.clock().of_block : block.clock().of_device;
  View& view = is_shared ? block.released_by_atomics[address] : released()[address];
  view.join(mine.released);
  mine.acquired.join(view);
  return before;
}

void fence(FenceScope scope) {
  if (!kChecksAccesses || is_planted(PlantedFault::kNoFence)) return;
  Block& block = *Block::running();
  ThreadClock& clock = block.clock();
  clock.of_block.released = released_view(block.block_idx(), block.clocks(), block.thread());
  clock.view.join(clock.of_block.acquired);
  if (scope == FenceScope::kBlock) return;
  clock.of_device.released = clock.of_block.released;
  clock.view.join(clock.of_device.acquired);
}

}  // namespace nvfp4::emulation
