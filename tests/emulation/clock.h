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
  [[nodiscard]] std::uint32_t clock(std::uint32_t block, std::uint32_t thread) const;
  void join(const View& other);
  // The block's threads, at least as far as in `clocks`.
  void join(std::uint32_t block, const std::shared_ptr<const BlockClocks>& clocks);
  [[nodiscard]] bool is_empty() const { return of_last_ == nullptr && blocks_.empty(); }
  [[nodiscard]] bool knows_others(std::uint32_t block) const {
    return !blocks_.empty() || (of_last_ != nullptr && last_block_ != block);
  }
  [[nodiscard]] const BlockClocks* clocks_of(std::uint32_t block) const;

 private:
  // The block that was asked for last stands apart: nearly always the thread's own.
  std::uint32_t last_block_ = 0;
  std::shared_ptr<const BlockClocks> of_last_;
  std::map<std::uint32_t, std::shared_ptr<const BlockClocks>> blocks_;
};

// The clocks of one thread. A fence makes what the thread is behind of visible through its later atomic operations, and
// what it read by earlier ones visible to it.
struct ThreadClock {
  std::uint32_t now = 1;
  View view;
  View fenced;
  View acquired;
};

// Everything that one of `threads` has done, all of them are behind of. threads: indices into `clocks`, the clocks of
// block `block`.
void synchronize(std::uint32_t block, std::span<ThreadClock> clocks, std::span<const std::uint32_t> threads);

// What thread `thread` has done is in the view of those that get this one; the thread's clock ticks.
[[nodiscard]] View released_view(std::uint32_t block, std::span<ThreadClock> clocks, std::uint32_t thread);

}  // namespace nvfp4::emulation
