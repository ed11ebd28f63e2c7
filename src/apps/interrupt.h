// Ctrl-C as a request to stop what is under way, not the program.
#pragma once

#include <csignal>

namespace nvfp4::apps {

// While one exists, SIGINT only sets a flag; before and after it does what it did. A guard inside another one's life
// keeps the flag as it is.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] static bool requested();
  static void forget();

  // For poll(): readable from a request until forget(). -1 when the system has no descriptor left.
  [[nodiscard]] static int descriptor();

 private:
  struct sigaction previous_ = {};
};

}  // namespace nvfp4::apps
