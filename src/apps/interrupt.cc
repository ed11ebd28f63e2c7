#include "apps/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace nvfp4::apps {
namespace {

volatile std::sig_atomic_t interrupted = 0;
std::array<int, 2> wake_pipe = {-1, -1};  // read end, write end; neither blocks

extern "C" void on_interrupt(int) {
  const int saved = errno;
  interrupted = 1;
  const char byte = 0;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_pipe[1], &byte, 1);
  errno = saved;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (wake_pipe[0] < 0 && ::pipe2(wake_pipe.data(), O_NONBLOCK | O_CLOEXEC) != 0) wake_pipe = {-1, -1};
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;  // a write that is under way goes on
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &previous_);
  if (previous_.sa_handler != on_interrupt) forget();
}

InterruptGuard::~InterruptGuard() { ::sigaction(SIGINT, &previous_, nullptr); }

bool InterruptGuard::requested() { return interrupted != 0; }

void InterruptGuard::forget() {
  char byte = 0;
  while (wake_pipe[0] >= 0 && ::read(wake_pipe[0], &byte, 1) == 1) {
  }
  interrupted = 0;
}

int InterruptGuard::descriptor() { return wake_pipe[0]; }

}  // namespace nvfp4::apps
