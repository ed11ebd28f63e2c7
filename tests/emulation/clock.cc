#include "emulation/clock.h"

#include <algorithm>

namespace nvfp4::emulation {
namespace {

void take_later(BlockClocks& into, const BlockClocks& from) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], from[i]);
}

}  // namespace

const BlockClocks* View::clocks_of(std::uint32_t block) const {
  if (of_last_ != nullptr && block == last_block_) return of_last_.get();
  const auto found = blocks_.find(block);
  return found == blocks_.end() ? nullptr : found->second.get();
}

std::uint32_t View::clock(std::uint32_t block, std::uint32_t thread) const {
  const BlockClocks* const clocks = clocks_of(block);
  return clocks == nullptr ? 0 : (*clocks)[thread];
}

void View::join(std::uint32_t block, const std::shared_ptr<const BlockClocks>& clocks) {
  if (clocks == nullptr) return;
  if (of_last_ == nullptr) last_block_ = block;
  std::shared_ptr<const BlockClocks>& mine = block == last_block_ ? of_last_ : blocks_[block];
  if (mine == clocks) return;
  if (mine == nullptr) {
    mine = clocks;
    return;
  }
  auto later = std::make_shared<BlockClocks>(*mine);
  take_later(*later, *clocks);
  mine = std::move(later);
}

void View::join(const View& other) {
  join(other.last_block_, other.of_last_);
  for (const auto& [block, clocks] : other.blocks_) join(block, clocks);
}

void synchronize(std::uint32_t block, std::span<ThreadClock> clocks, std::span<const std::uint32_t> threads) {
  auto all = std::make_shared<BlockClocks>(clocks.size(), 0);
  const BlockClocks* last = nullptr;
  bool is_simple = true;  // nobody knows of other blocks, or of fences
  for (const std::uint32_t thread : threads) {
    const ThreadClock& clock = clocks[thread];
    const BlockClocks* const seen = clock.view.clocks_of(block);
    if (seen != nullptr && seen != last) take_later(*all, *seen);
    last = seen;
    is_simple = is_simple && clock.fenced.is_empty() && clock.acquired.is_empty() && !clock.view.knows_others(block);
  }
  for (const std::uint32_t thread : threads) (*all)[thread] = std::max((*all)[thread], clocks[thread].now);
  View view;
  View fenced;
  View acquired;
  if (!is_simple) {
    for (const std::uint32_t thread : threads) {
      view.join(clocks[thread].view);
      fenced.join(clocks[thread].fenced);
      acquired.join(clocks[thread].acquired);
    }
  }
  view.join(block, all);
  for (const std::uint32_t thread : threads) {
    ThreadClock& clock = clocks[thread];
    clock.view = view;
    clock.fenced = fenced;
    clock.acquired = acquired;
    ++clock.now;
  }
}

View released_view(std::uint32_t block, std::span<ThreadClock> clocks, std::uint32_t thread) {
  ThreadClock& clock = clocks[thread];
  auto own = std::make_shared<BlockClocks>(clocks.size(), 0);
  (*own)[thread] = clock.now++;
  View view = clock.view;
  view.join(block, std::move(own));
  return view;
}

}  // namespace nvfp4::emulation
