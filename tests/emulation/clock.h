// Which accesses of which threads have happened before: vector clocks. A thread's own clock ticks at everything that
// lets others see what it did.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace nvfp4::emulation {

// Of the threads of a block, by thread.
using BlockClocks = std::vector<std::uint32_t>;

// What somebody is behind of. Views are shared until they change: after a barrier all threads have the same.
class View {
 public:
  // Clock of a thread of block `block`; 0 when nothing of it is known.
  [[nodiscard]] std::uint32_t clock(std::uint32_t block, std::uint32_t thread) const {
    const BlockClocks* const clocks = clocks_of(block);
    return clocks == nullptr ? 0 : (*clocks)[thread];
  }
  void join(const View& other);
  // The block's threads, at least as far as in `clocks`.
  void join(std::uint32_t block, const std::shared_ptr<const BlockClocks>& clocks);
  [[nodiscard]] bool is_empty() const { return of_last_ == nullptr && blocks_.empty(); }
  // Kernels ahead in the stream have ended.
  [[nodiscard]] bool knows_earlier_kernels() const { return knows_earlier_kernels_; }
  void learn_of_earlier_kernels() { knows_earlier_kernels_ = true; }
  [[nodiscard]] bool knows_others(std::uint32_t block) const {
    return !blocks_.empty() || (of_last_ != nullptr && last_block_ != block);
  }
  [[nodiscard]] const BlockClocks* clocks_of(std::uint32_t block) const {
    if (of_last_ != nullptr && block == last_block_) return of_last_.get();
    return blocks_.empty() ? nullptr : clocks_of_other(block);
  }

 private:
  [[nodiscard]] const BlockClocks* clocks_of_other(std::uint32_t block) const;

  bool knows_earlier_kernels_ = false;
  // The block that was asked for last stands apart: nearly always the thread's own.
  std::uint32_t last_block_ = 0;
  std::shared_ptr<const BlockClocks> of_last_;
  std::map<std::uint32_t, std::shared_ptr<const BlockClocks>> blocks_;
};

// What a fence makes visible through the thread's later atomic operations, and what earlier ones saw, which the next
// fence makes visible to the thread.
struct FencedViews {
  View released;
  View acquired;
  [[nodiscard]] bool is_empty() const { return released.is_empty() && acquired.is_empty(); }
  void join(const FencedViews& other) {
    released.join(other.released);
    acquired.join(other.acquired);
  }
};

// The clocks of one thread.
struct ThreadClock {
  std::uint32_t now = 1;
  View view;
  FencedViews of_device;  // for atomic operations on global memory
  FencedViews of_block;   // on shared memory
};

// Everything that one of `threads` has done, all of them are behind of. threads: indices into `clocks`, the clocks of
// block `block`.
void synchronize(std::uint32_t block, std::span<ThreadClock> clocks, std::span<const std::uint32_t> threads);

// What thread `thread` has done is in the view of those that get this one; the thread's clock ticks.
[[nodiscard]] View released_view(std::uint32_t block, std::span<ThreadClock> clocks, std::uint32_t thread);

}  // namespace nvfp4::emulation
