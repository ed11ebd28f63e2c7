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
  // By the function that runs here.
  void suspend();

  static constexpr std::size_t kStackBytes = std::size_t{256} << 10U;
  [[nodiscard]] const char* stack() const { return stack_; }  // its lowest byte

 private:
  char* stack_;  // behind a page that cannot be touched
  void* context_ = nullptr;
  void* caller_ = nullptr;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  // For AddressSanitizer: whose stack is left, and whose is entered.
  void* fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  std::size_t caller_bytes_ = 0;

  friend struct FiberSwitch;
};

}  // namespace nvfp4::emulation
