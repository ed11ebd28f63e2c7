#include "emulation/warp_operations.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <string>

#include "emulation/block.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

// What a lane brings, and what it takes.
struct Exchanged {
  std::uint64_t value = 0;
  std::uint32_t source = 0;  // lane, of shuffles
  ReductionKind kind = ReductionKind::kSum;
};

Exchanged& slot_of(const WarpMeetings::Slots& slots, std::uint32_t lane) {
  return *static_cast<Exchanged*>(slots[lane]);
}
template <class Visit>
void for_each_lane(std::uint32_t mask, const Visit& visit) {
  for (; mask != 0; mask &= mask - 1) visit(static_cast<std::uint32_t>(std::countr_zero(mask)));
}

std::uint64_t exchange(const char* what, std::uint32_t mask, Exchanged slot, WarpMeetings::Complete complete) {
  Block& block = *Block::running();
  block.meetings.meet(block, what, mask, &slot, complete);
  return slot.value;
}

void shuffle_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t mask, const WarpMeetings::Slots& slots) {
  std::array<std::uint64_t, kWarpLanes> all{};
  for_each_lane(mask, [&](std::uint32_t lane) { all[lane] = slot_of(slots, lane).value; });
  for_each_lane(mask, [&](std::uint32_t lane) { slot_of(slots, lane).value = all[slot_of(slots, lane).source]; });
}

void vote_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t mask, const WarpMeetings::Slots& slots) {
  std::uint32_t lanes = 0;
  for_each_lane(mask, [&](std::uint32_t lane) { lanes |= slot_of(slots, lane).value != 0 ? 1U << lane : 0; });
  for_each_lane(mask, [&](std::uint32_t lane) { slot_of(slots, lane).value = lanes; });
}

void match_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t mask, const WarpMeetings::Slots& slots) {
  std::array<std::uint32_t, kWarpLanes> equal{};
  for_each_lane(mask, [&](std::uint32_t lane) {
    for_each_lane(mask, [&](std::uint32_t other) {
      if (slot_of(slots, other).value == slot_of(slots, lane).value) equal[lane] |= 1U << other;
    });
  });
  for_each_lane(mask, [&](std::uint32_t lane) { slot_of(slots, lane).value = equal[lane]; });
}

void order_lanes(Block& block, std::uint32_t first_thread, std::uint32_t mask, const WarpMeetings::Slots& /*slots*/) {
  std::array<std::uint32_t, kWarpLanes> threads{};
  std::size_t count = 0;
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1U) != 0) threads[count++] = first_thread + lane;
  }
  synchronize(block.block_idx(), block.clocks(), std::span(threads).first(count));
}

std::uint32_t combine(ReductionKind kind, std::uint32_t a, std::uint32_t b) {
  const auto signed_a = static_cast<std::int32_t>(a);
  const auto signed_b = static_cast<std::int32_t>(b);
  switch (kind) {
    case ReductionKind::kSum:
      return a + b;
    case ReductionKind::kMin:
      return std::min(a, b);
    case ReductionKind::kMax:
      return std::max(a, b);
    case ReductionKind::kMinSigned:
      return static_cast<std::uint32_t>(std::min(signed_a, signed_b));
    case ReductionKind::kMaxSigned:
      return static_cast<std::uint32_t>(std::max(signed_a, signed_b));
    case ReductionKind::kAnd:
      return a & b;
    case ReductionKind::kOr:
      return a | b;
    case ReductionKind::kXor:
      return a ^ b;
  }
  return 0;
}

void reduce_for_all(Block& /*block*/, std::uint32_t /*first*/, std::uint32_t mask, const WarpMeetings::Slots& slots) {
  const auto first = static_cast<std::uint32_t>(std::countr_zero(mask));
  auto result = static_cast<std::uint32_t>(slot_of(slots, first).value);
  for_each_lane(mask & (mask - 1), [&](std::uint32_t lane) {
    const Exchanged& slot = slot_of(slots, lane);
    result = combine(slot.kind, result, static_cast<std::uint32_t>(slot.value));
  });
  for_each_lane(mask, [&](std::uint32_t lane) { slot_of(slots, lane).value = result; });
}

// The lane that a shuffle reads; its own where it would leave the group.
std::uint32_t source_lane(ShuffleKind kind, std::uint32_t lane, std::uint32_t operand, std::uint32_t width) {
  const std::uint32_t first = lane / width * width;
  const std::uint32_t place = lane - first;
  std::uint32_t source = place;
  if (kind == ShuffleKind::kFrom) return first + operand % width;
  if (kind == ShuffleKind::kUp) source = operand <= place ? place - operand : place;
  if (kind == ShuffleKind::kDown) source = place + operand < width ? place + operand : place;
  if (kind == ShuffleKind::kXor) source = (place ^ operand) < width ? place ^ operand : place;
  return first + source;
}

}  // namespace

void synchronize_warp(std::uint32_t mask) {
  if (is_planted(PlantedFault::kNoWarpBarrier)) return;
  Block& block = *Block::running();
  block.meetings.meet(block, "__syncwarp", mask, nullptr, order_lanes);
}

void synchronize_block() {
  if (is_planted(PlantedFault::kNoBlockBarrier)) return;
  Block& block = *Block::running();
  block.barriers.synchronize(block, 0, Barriers::kAllThreads, true);
}

void synchronize_numbered(std::uint32_t id, std::uint32_t num_threads) {
  if (is_planted(PlantedFault::kNoNumberedBarrier)) return;
  Block& block = *Block::running();
  block.barriers.synchronize(block, id, num_threads, true);
}

std::uint64_t shuffle(ShuffleKind kind, std::uint32_t mask, std::uint64_t value, std::uint32_t operand,
                      std::uint32_t width) {
  Block& block = *Block::running();
  const std::uint32_t source = source_lane(kind, block.thread() % kWarpLanes, operand, width);
  if ((mask >> source & 1U) == 0) block.fail("shuffles from lane " + std::to_string(source) + ", not in its mask");
  return exchange("a shuffle", mask, {.value = value, .source = source}, shuffle_for_all);
}

std::uint32_t vote(std::uint32_t mask, bool predicate) {
  return static_cast<std::uint32_t>(exchange("a vote", mask, {.value = predicate ? 1U : 0U}, vote_for_all));
}

std::uint32_t match(std::uint32_t mask, std::uint64_t value) {
  return static_cast<std::uint32_t>(exchange("a match", mask, {.value = value}, match_for_all));
}

std::uint32_t reduce(ReductionKind kind, std::uint32_t mask, std::uint32_t value) {
  return static_cast<std::uint32_t>(exchange("a reduction", mask, {.value = value, .kind = kind}, reduce_for_all));
}

}  // namespace nvfp4::emulation
