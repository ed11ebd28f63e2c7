#include "emulation/async_copies.h"

#include <cstring>
#include <string>
#include <utility>

#include "emulation/access.h"
#include "emulation/block.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

constexpr int kNotLanded = 0xA5;

}  // namespace

void AsyncCopies::begin_block() {
  of_thread_.assign(kMaxThreads, {});
  bulk_.clear();
  arrivals_.clear();
}

void AsyncCopies::begin(Block& block, const Copy& copy, const void* code) {
  if (copy.to % 16 != 0 || reinterpret_cast<std::uintptr_t>(copy.from) % 16 != 0) {
    block.fail("copies between addresses that are no multiples of 16, in " + code_name(code));
  }
  std::byte* const to = block.shared.at(copy.to);
  touch(AccessKind::kWrite, to, copy.total_bytes, code);
  if (copy.num_bytes != 0) touch(AccessKind::kRead, copy.from, copy.num_bytes, code);
  mark_in_flight(block, to, copy.total_bytes);
  std::memset(to, kNotLanded, copy.total_bytes);
}

void AsyncCopies::land(Block& block, const Copy& copy, std::uint32_t clock) {
  std::byte* const to = block.shared.at(copy.to);
  if (copy.num_bytes != 0) std::memcpy(to, copy.from, copy.num_bytes);
  std::memset(to + copy.num_bytes, 0, copy.total_bytes - copy.num_bytes);
  mark_written(block, to, copy.total_bytes, copy.thread, clock);
}

void AsyncCopies::copy(Block& block, std::uint32_t to, const void* from, std::uint32_t num_bytes) {
  const Copy copy{to, from, num_bytes, 16, block.thread()};
  begin(block, copy, __builtin_return_address(0));
  of_thread_[block.thread()].open.push_back(copy);
}

void AsyncCopies::end_group(Block& block) {
  OfThread& mine = of_thread_[block.thread()];
  mine.groups.push_back(std::exchange(mine.open, {}));
}

void AsyncCopies::wait_for_groups(Block& block, std::size_t num_newest) {
  std::vector<std::vector<Copy>>& groups = of_thread_[block.thread()].groups;
  if (groups.size() <= num_newest || is_planted(PlantedFault::kNoCopyWait)) return;
  const auto end = groups.end() - static_cast<std::ptrdiff_t>(num_newest);
  for (auto group = groups.begin(); group != end; ++group) {
    for (const Copy& copy : *group) land(block, copy, block.clock().now);
  }
  groups.erase(groups.begin(), end);
}

void AsyncCopies::end_thread(Block& block) {
  end_group(block);
  wait_for_groups(block, 0);
}

void AsyncCopies::arrive_when_copied(Block& block, std::uint32_t barrier) {
  block.barriers.check(block, barrier);
  OfThread& mine = of_thread_[block.thread()];
  Arrival arrival{block.thread(), barrier, std::exchange(mine.open, {})};
  for (std::vector<Copy>& group : mine.groups) {
    arrival.copies.insert(arrival.copies.end(), group.begin(), group.end());
  }
  mine.groups.clear();
  arrivals_.push_back(std::move(arrival));
}

void AsyncCopies::copy_bulk(Block& block, std::uint32_t to, const void* from, std::uint32_t num_bytes,
                            std::uint32_t barrier) {
  const Copy copy{to, from, num_bytes, num_bytes, block.thread()};
  if (num_bytes % 16 != 0) block.fail("copies a number of bytes that is no multiple of 16");
  begin(block, copy, __builtin_return_address(0));
  block.barriers.check_published(block, barrier);
  const std::uint32_t clock = block.clock().now;
  bulk_.push_back({copy, {}, barrier, released_view(block.block_idx(), block.clocks(), block.thread()), clock});
}

void AsyncCopies::copy_box(Block& block, std::uint32_t to, const TensorBox& box, std::uint32_t barrier) {
  const void* const code = __builtin_return_address(0);
  const std::uint32_t alignment = box.map.is_swizzled ? 1024 : 128;
  if (to % alignment != 0) block.fail("copies a box to an address that is no multiple of " + std::to_string(alignment));
  const Copy copy{to, nullptr, 0, box.num_bytes(), block.thread()};
  begin(block, copy, code);
  box.for_each_piece([&](std::uint32_t /*offset*/, const std::byte* from) {
    if (from != nullptr) touch(AccessKind::kRead, from, TensorBox::kPieceBytes, code);
  });
  block.barriers.check_published(block, barrier);
  const std::uint32_t clock = block.clock().now;
  bulk_.push_back({copy, box, barrier, released_view(block.block_idx(), block.clocks(), block.thread()), clock});
}

void AsyncCopies::land(Block& block, const BulkCopy& bulk) {
  land(block, bulk.copy, bulk.clock);
  if (bulk.box.map.rank == 0) return;
  std::byte* const to = block.shared.at(bulk.copy.to);
  bulk.box.for_each_piece([&](std::uint32_t offset, const std::byte* from) {
    if (from != nullptr) std::memcpy(to + offset, from, TensorBox::kPieceBytes);
  });
}

void AsyncCopies::land_one(Block& block) {
  const std::size_t idx = block.random() % (bulk_.size() + arrivals_.size());
  block.note_progress();
  if (idx < bulk_.size()) {
    const BulkCopy landed = std::exchange(bulk_[idx], bulk_.back());
    bulk_.pop_back();
    land(block, landed);
    block.barriers.complete_bytes(block, landed.barrier, landed.copy.total_bytes, landed.view);
    return;
  }
  Arrival& place = arrivals_[idx - bulk_.size()];
  const Arrival due = std::exchange(place, arrivals_.back());
  arrivals_.pop_back();
  const std::uint32_t clock = block.clocks()[due.thread].now;
  for (const Copy& copy : due.copies) land(block, copy, clock);
  block.barriers.arrive_with(block, due.barrier, released_view(block.block_idx(), block.clocks(), due.thread));
}

}  // namespace nvfp4::emulation
