#include "emulation/clock.h"

#include <algorithm>

namespace nvfp4::emulation {
namespace {

void take_later(BlockClocks& into, const BlockClocks& from) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], from[i]);
}

}  // namespace

const BlockClocks* View::clocks_of_other(std::uint32_t block) const {
  const auto found = blocks_.find(block);
  return found == blocks_.end() ? nullptr : found->second.get();
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
  // Threads that know the same learn the same one after the other.
  static struct {
    std::shared_ptr<const BlockClocks> mine, other, later;
  } last;
  if (last.mine != mine || last.other != clocks) {
    auto later = std::make_shared<BlockClocks>(*mine);
    take_later(*later, *clocks);
    last = {mine, clocks, std::move(later)};
  }
  mine = last.later;
}

void View::join(const View& other) {
  knows_earlier_kernels_ = knows_earlier_kernels_ || other.knows_earlier_kernels_;
  join(other.last_block_, other.of_last_);
  for (const auto& [block, clocks] : other.blocks_) join(block, clocks);
}

void synchronize(std::uint32_t block, std::span<ThreadClock> clocks, std::span<const std::uint32_t> threads) {
  auto all = std::make_shared<BlockClocks>(clocks.size(), 0);
  const BlockClocks* last = nullptr;
  bool is_simple = true;  // nobody knows of other blocks, or of fences
  bool knows_earlier_kernels = false;
  for (const std::uint32_t thread : threads) {
    const ThreadClock& clock = clocks[thread];
    const BlockClocks* const seen = clock.view.clocks_of(block);
    if (seen != nullptr && seen != last) take_later(*all, *seen);
    last = seen;
    is_simple = is_simple && clock.of_device.is_empty() && clock.of_block.is_empty() && !clock.view.knows_others(block);
    knows_earlier_kernels = knows_earlier_kernels || clock.view.knows_earlier_kernels();
  }
  for (const std::uint32_t thread : threads) (*all)[thread] = std::max((*all)[thread], clocks[thread].now);
  View view;
  FencedViews of_device;
  FencedViews of_block;
  if (knows_earlier_kernels) view.learn_of_earlier_kernels();
  if (!is_simple) {
    for (const std::uint32_t thread : threads) {
      view.join(clocks[thread].view);
      of_device.join(clocks[thread].of_device);
      of_block.join(clocks[thread].of_block);
    }
  }
  view.join(block, all);
  for (const std::uint32_t thread : threads) {
    ThreadClock& clock = clocks[thread];
    clock.view = view;
    if (!is_simple) {
      clock.of_device = of_device;
      clock.of_block = of_block;
    }
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
