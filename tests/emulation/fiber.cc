#include "emulation/fiber.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>

#include "emulation/sanitizer.h"

#if NVFP4_EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace nvfp4::emulation {
namespace {

constexpr std::size_t kPageBytes = 4096;

}  // namespace

namespace context = boost::context::detail;

// One thread of the host: where resume() was called, and where the context of whoever switches is kept.
struct FiberSwitch {
  static inline void* caller = nullptr;
  static inline void** leaves = nullptr;
  static inline const void* caller_stack = nullptr;
  static inline std::size_t caller_bytes = 0;

  // The first thing on a new stack.
  static void enter(context::transfer_t from) {
    arrived(from, nullptr);
    auto& fiber = *static_cast<Fiber*>(from.data);
    fiber.entry_(fiber.argument_);
    for (;;) fiber.suspend();
  }

  static void jump(void*& from, void* to, void* data, void* fake_stack) {
    leaves = &from;
    arrived(context::jump_fcontext(to, data), fake_stack);
  }
  static void arrived(context::transfer_t from, [[maybe_unused]] void* fake_stack) {
    *leaves = from.fctx;
#if NVFP4_EMULATION_ASAN
    const void* stack = nullptr;
    std::size_t num_bytes = 0;
    __sanitizer_finish_switch_fiber(fake_stack, &stack, &num_bytes);
    if (leaves == &caller) caller_stack = stack, caller_bytes = num_bytes;
#endif
  }
  static void leave([[maybe_unused]] void** keep, [[maybe_unused]] const void* stack,
                    [[maybe_unused]] std::size_t num_bytes) {
#if NVFP4_EMULATION_ASAN
    __sanitizer_start_switch_fiber(keep, stack, num_bytes);
#endif
  }
};

Fiber::Fiber() {
  void* const pages = mmap(nullptr, kPageBytes + kStackBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED || mprotect(pages, kPageBytes, PROT_NONE) != 0) {
    std::perror("the stack of an emulated thread");
    std::abort();
  }
  stack_ = static_cast<char*>(pages) + kPageBytes;
}

Fiber::~Fiber() { munmap(stack_ - kPageBytes, kPageBytes + kStackBytes); }

void Fiber::start(Entry entry, void* argument) {
#if NVFP4_EMULATION_ASAN
  ASAN_UNPOISON_MEMORY_REGION(stack_, kStackBytes);  // frames of a thread that was dropped
#endif
  entry_ = entry;
  argument_ = argument;
  fake_stack_ = nullptr;
  context_ = context::make_fcontext(stack_ + kStackBytes, kStackBytes, FiberSwitch::enter);
}

void Fiber::resume() {
  void* mine = nullptr;
  FiberSwitch::leave(&mine, stack_, kStackBytes);
  FiberSwitch::jump(FiberSwitch::caller, context_, this, mine);
}

void Fiber::suspend() {
  FiberSwitch::leave(&fake_stack_, FiberSwitch::caller_stack, FiberSwitch::caller_bytes);
  FiberSwitch::jump(context_, FiberSwitch::caller, nullptr, fake_stack_);
}

void Fiber::switch_to(Fiber& other) {
  FiberSwitch::leave(&fake_stack_, other.stack_, kStackBytes);
  FiberSwitch::jump(context_, other.context_, &other, fake_stack_);
}

}  // namespace nvfp4::emulation
