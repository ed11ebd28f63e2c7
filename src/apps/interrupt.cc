#include "apps/interrupt.h"

#include "apps/wake_pipe.h"

namespace nvfp4::apps {
namespace {

volatile std::sig_atomic_t interrupted = 0;
WakePipe wake_pipe;

extern "C" void on_interrupt(int) {
  interrupted = 1;
  wake_pipe.wake();
}

}  // namespace

InterruptGuard::InterruptGuard() {
  wake_pipe.open();
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
  wake_pipe.clear();
  interrupted = 0;
}

int InterruptGuard::descriptor() { return wake_pipe.descriptor(); }

}  // namespace nvfp4::apps
