// Ctrl-C as a request to stop what is under way, not the program.
#pragma once

#include <csignal>

namespace nvfp4::apps {

// While one exists, SIGINT only sets a flag; before and after it does what it did.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] static bool requested();

 private:
  struct sigaction previous_ = {};
};

}  // namespace nvfp4::apps
