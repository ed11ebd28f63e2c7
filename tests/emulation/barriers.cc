#include "emulation/barriers.h"

#include <string>

#include "emulation/access.h"
#include "emulation/block.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

constexpr std::uint32_t kBarrierBytes = 8;

}  // namespace

void Barriers::complete_if_all_came(Block& block, Numbered& barrier) {
  const std::uint32_t needed = barrier.count == kAllThreads ? block.num_alive() : barrier.count;
  if (barrier.arrived.size() < needed || barrier.arrived.empty()) return;
  nvfp4::emulation::synchronize(block.block_idx(), block.clocks(), barrier.arrived);
  for (const std::uint32_t thread : barrier.waiting) {
    if (thread != block.thread()) block.wake(thread);
  }
  barrier = {};
  block.note_progress();
}

void Barriers::synchronize(Block& block, std::uint32_t id, std::uint32_t count, bool waits) {
  Numbered& barrier = numbered_[id];
  if (!barrier.arrived.empty() && barrier.count != count) {
    block.fail("comes to barrier " + std::to_string(id) + " of " + std::to_string(count) +
               " threads, others to one of " + std::to_string(barrier.count));
  }
  barrier.count = count;
  barrier.arrived.push_back(block.thread());
  if (waits) barrier.waiting.push_back(block.thread());
  complete_if_all_came(block, barrier);
  if (waits && !barrier.arrived.empty()) block.wait(count == kAllThreads ? "__syncthreads" : "a numbered barrier");
}

void Barriers::end_thread(Block& block) {
  for (auto& [id, barrier] : numbered_) {
    if (!barrier.arrived.empty() && barrier.count == kAllThreads) complete_if_all_came(block, barrier);
  }
}

Barriers::InMemory& Barriers::at(Block& block, std::uint32_t address) {
  const auto found = in_memory_.find(address);
  if (found == in_memory_.end()) {
    block.fail("uses shared address " + std::to_string(address) + " as a barrier, which nobody initialised");
  }
  return found->second;
}

Barriers::InMemory& Barriers::use(Block& block, std::uint32_t address) {
  InMemory& barrier = at(block, address);
  touch(AccessKind::kAtomic, block.shared.at(address), kBarrierBytes, nullptr);
  if (kChecksAccesses && block.thread() != barrier.owner &&
      block.clock().view.clock(block.block_idx(), barrier.owner) < barrier.owner_clock) {
    block.report("uses a barrier that thread " + std::to_string(barrier.owner) + " initialised; nothing orders the two",
                 block.thread());
  }
  return barrier;
}

void Barriers::publish(const Block& block) {
  for (auto& [address, barrier] : in_memory_) {
    if (barrier.owner == block.thread()) barrier.is_published = true;
  }
}

void Barriers::check_published(Block& block, std::uint32_t address) {
  if (!use(block, address).is_published) block.fail("lets a copy arrive at a barrier that was not published");
}

void Barriers::init(Block& block, std::uint32_t address, std::uint32_t count) {
  if (address % kBarrierBytes != 0 || !block.shared.is_inside(address, kBarrierBytes)) {
    block.fail("initialises a barrier at shared address " + std::to_string(address) + ", which is no place for one");
  }
  touch(AccessKind::kWrite, block.shared.at(address), kBarrierBytes, nullptr);
  InMemory& barrier = in_memory_[address];
  barrier = {};
  barrier.count = count;
  barrier.owner = block.thread();
  barrier.owner_clock = block.clock().now;
  barrier.pending_arrivals = count;
}

void Barriers::end_phase_if_complete(Block& block, InMemory& barrier) {
  if (barrier.pending_arrivals < 0) block.fail("is one arrival too many at a barrier in shared memory");
  if (barrier.pending_arrivals != 0 || barrier.pending_bytes != 0) return;
  ++barrier.phase;
  for (const std::uint32_t thread : barrier.waiting) block.wake(thread);
  barrier.waiting.clear();
  barrier.pending_arrivals = barrier.count;
  barrier.completed = barrier.arriving;
  block.note_progress();
}

void Barriers::arrive(Block& block, std::uint32_t address, std::uint32_t announced_bytes) {
  InMemory& barrier = use(block, address);
  barrier.pending_bytes += announced_bytes;
  const View released = released_view(block.block_idx(), block.clocks(), block.thread());
  arrive_with(block, address, is_planted(PlantedFault::kNoArrivalOrder) ? View{} : released);
}

void Barriers::arrive_with(Block& block, std::uint32_t address, const View& from) {
  InMemory& barrier = at(block, address);
  barrier.arriving.join(from);
  --barrier.pending_arrivals;
  end_phase_if_complete(block, barrier);
}

void Barriers::complete_bytes(Block& block, std::uint32_t address, std::uint32_t num_bytes, const View& from) {
  InMemory& barrier = at(block, address);
  barrier.arriving.join(from);
  barrier.pending_bytes -= num_bytes;
  end_phase_if_complete(block, barrier);
}

bool Barriers::try_wait(Block& block, std::uint32_t address, std::uint32_t parity) {
  if (is_planted(PlantedFault::kNoBulkWait)) return true;
  InMemory& barrier = at(block, address);
  if (barrier.phase % 2 == parity) {
    barrier.waiting.push_back(block.thread());
    block.wait("a barrier in shared memory");
  }
  return test(block, address, parity);
}

bool Barriers::test(Block& block, std::uint32_t address, std::uint32_t parity) {
  if (is_planted(PlantedFault::kNoBulkWait)) return true;
  InMemory& barrier = use(block, address);
  if (barrier.phase % 2 == parity) return false;
  block.clock().view.join(barrier.completed);
  block.note_progress();
  return true;
}

}  // namespace nvfp4::emulation
