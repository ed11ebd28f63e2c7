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

struct FiberSwitch {
  // The first thing on a new stack.
  static void enter(context::transfer_t from) {
    auto& fiber = *static_cast<Fiber*>(from.data);
    fiber.caller_ = from.fctx;
    arrived(nullptr, &fiber.caller_stack_, &fiber.caller_bytes_);
    fiber.entry_(fiber.argument_);
    for (;;) fiber.suspend();
  }

  static void leave([[maybe_unused]] void** keep, [[maybe_unused]] const void* stack,
                    [[maybe_unused]] std::size_t num_bytes) {
#if NVFP4_EMULATION_ASAN
    __sanitizer_start_switch_fiber(keep, stack, num_bytes);
#endif
  }
  static void arrived([[maybe_unused]] void* kept, [[maybe_unused]] const void** stack,
                      [[maybe_unused]] std::size_t* num_bytes) {
#if NVFP4_EMULATION_ASAN
    __sanitizer_finish_switch_fiber(kept, stack, num_bytes);
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
  context_ = context::jump_fcontext(context_, this).fctx;
  FiberSwitch::arrived(mine, nullptr, nullptr);
}

void Fiber::suspend() {
  FiberSwitch::leave(&fake_stack_, caller_stack_, caller_bytes_);
  caller_ = context::jump_fcontext(caller_, nullptr).fctx;
  FiberSwitch::arrived(fake_stack_, &caller_stack_, &caller_bytes_);
}

}  // namespace nvfp4::emulation
