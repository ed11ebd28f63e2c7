#include "emulation/warp_operations.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "emulation/block.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

struct Exchanged {
  std::uint64_t value = 0;
  std::array<std::uint64_t, kWarpLanes> all{};  // 0 for lanes that are not in the mask
};

void give_all(Block& /*block*/, std::uint32_t /*first_thread*/, std::uint32_t mask, const WarpMeetings::Slots& slots) {
  std::array<std::uint64_t, kWarpLanes> all{};
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1U) != 0) all[lane] = static_cast<const Exchanged*>(slots[lane])->value;
  }
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1U) != 0) static_cast<Exchanged*>(slots[lane])->all = all;
  }
}

std::array<std::uint64_t, kWarpLanes> exchange(const char* what, std::uint32_t mask, std::uint64_t value) {
  Block& block = *Block::running();
  Exchanged slot{.value = value};
  block.meetings.meet(block, what, mask, &slot, give_all);
  return slot.all;
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
  const auto all = exchange("a shuffle", mask, value);
  const std::uint32_t source = source_lane(kind, block.thread() % kWarpLanes, operand, width);
  if ((mask >> source & 1U) == 0) block.fail("shuffles from lane " + std::to_string(source) + ", not in its mask");
  return all[source];
}

std::uint32_t vote(std::uint32_t mask, bool predicate) {
  const auto all = exchange("a vote", mask, predicate ? 1 : 0);
  std::uint32_t lanes = 0;
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) lanes |= static_cast<std::uint32_t>(all[lane]) << lane;
  return lanes;
}

std::uint32_t match(std::uint32_t mask, std::uint64_t value) {
  const auto all = exchange("a match", mask, value);
  std::uint32_t lanes = 0;
  for (std::size_t lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1U) != 0 && all[lane] == value) lanes |= 1U << lane;
  }
  return lanes;
}

std::uint32_t reduce(ReductionKind kind, std::uint32_t mask, std::uint32_t value) {
  const auto all = exchange("a reduction", mask, value);
  const std::uint32_t own = Block::running()->thread() % kWarpLanes;
  std::uint32_t result = value;
  for (std::uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    if (lane != own && (mask >> lane & 1U) != 0) result = combine(kind, result, static_cast<std::uint32_t>(all[lane]));
  }
  return result;
}

}  // namespace nvfp4::emulation
