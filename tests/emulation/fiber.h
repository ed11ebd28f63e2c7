// A stack of its own on which a function runs until it suspends itself: a thread of a block.
#pragma once

#include <cstddef>

namespace nvfp4::emulation {

// Boost.Context's plain switches, not its class `fiber`: a thread that failed is dropped where it stands, and that
// class would throw an exception through code that has none.
class Fiber {
 public:
  using Entry = void (*)(void* argument);

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() begins to run entry(argument); what ran here before is forgotten.
  void start(Entry entry, void* argument);
  // Runs until suspend(), or the end of entry.
  void resume();
  // By the function that runs here: back to where resume() was called, or to another fiber, in its place.
  void suspend();
  void switch_to(Fiber& other);

  static constexpr std::size_t kStackBytes = std::size_t{256} << 10U;
  [[nodiscard]] const char* stack() const { return stack_; }  // its lowest byte

 private:
  char* stack_;  // behind a page that cannot be touched
  void* context_ = nullptr;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's

  friend struct FiberSwitch;
};

}  // namespace nvfp4::emulation
