#include "base/mapped_range.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>

namespace nvfp4 {
namespace {

struct RangeBlock {
  std::array<MappedRange, 64> ranges;
  std::atomic<RangeBlock*> next{nullptr};
};

// A signal handler has no argument to carry state in: these are the process-wide facts it needs. Constant-initialised.
struct Registry {
  RangeBlock first;
  struct sigaction previous{};
  std::uintptr_t page_bytes = 4096;
};
constinit Registry registry;

// The live range that holds `address`, or null. Lock-free: a range that changes meanwhile is not the one that faults.
MappedRange* range_of(std::uintptr_t address) {
  for (RangeBlock* block = &registry.first; block != nullptr; block = block->next.load(std::memory_order_acquire)) {
    for (MappedRange& range : block->ranges) {
      const std::uint32_t version = range.version.load(std::memory_order_acquire);
      if (version % 2 != 0) continue;
      const std::uintptr_t begin = range.begin.load(std::memory_order_acquire);
      const std::uintptr_t end = range.end.load(std::memory_order_acquire);
      if (address < begin || address >= end) continue;
      if (range.version.load(std::memory_order_acquire) == version) return &range;
    }
  }
  return nullptr;
}

// mmap() for the signal handler, without the C library and what a sanitizer puts before it: ThreadSanitizer takes
// mmap() for a write of the calling thread to every byte, which other threads that read here would race with. The
// kernel orders these pages with page faults by itself: whoever comes early faults too, whoever comes late reads zeros.
bool map_zeros(std::uintptr_t begin, std::size_t num_bytes) {
  constexpr long kFlags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  return ::syscall(SYS_mmap, begin, num_bytes, long{PROT_READ}, kFlags, -1L, 0L) != -1;
}

// Puts zero pages where the file has no bytes: from the faulting page to the end of the map if the file ends before
// that page, else (the device failed) over this page only.
bool cover_with_zeros(MappedRange& range, std::uintptr_t address) {
  const std::uintptr_t page = address - address % registry.page_bytes;
  const std::uintptr_t begin = range.begin.load(std::memory_order_acquire);
  std::uintptr_t end = page + registry.page_bytes;
  struct stat facts{};
  if (::fstat(range.fd.load(std::memory_order_acquire), &facts) == 0 &&
      static_cast<std::uintptr_t>(facts.st_size) <= page - begin) {
    end = range.end.load(std::memory_order_acquire);
  }
  range.shrank.store(true, std::memory_order_release);
  return map_zeros(page, end - page);
}

void call_previous(int signal_number, siginfo_t* info, void* context) {
  const struct sigaction& previous = registry.previous;
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal_number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal_number);
  } else if (previous.sa_handler == SIG_DFL || info->si_code > 0) {
    // A fault comes again when we return; a signal that somebody sent has to be sent again.
    struct sigaction action{};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal_number, &action, nullptr);
    if (info->si_code <= 0) ::raise(signal_number);
  }
}

void on_bus_error(int signal_number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  bool handled = false;
  if (info->si_code == BUS_ADRERR) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    MappedRange* const range = range_of(address);
    handled = range != nullptr && cover_with_zeros(*range, address);
  }
  errno = saved_errno;
  if (!handled) call_previous(signal_number, info, context);
}

void install_handler() {
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (page_bytes > 0) registry.page_bytes = static_cast<std::uintptr_t>(page_bytes);
  ::sigaction(SIGBUS, nullptr, &registry.previous);
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_mask = registry.previous.sa_mask;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  ::sigaction(SIGBUS, &action, nullptr);
}

void publish(MappedRange& range, std::uintptr_t begin, std::uintptr_t end, int fd) {
  range.version.fetch_add(1, std::memory_order_acq_rel);
  range.begin.store(begin, std::memory_order_release);
  range.end.store(end, std::memory_order_release);
  range.fd.store(fd, std::memory_order_release);
  range.version.fetch_add(1, std::memory_order_acq_rel);
}

MappedRange* take_free_range() {
  for (RangeBlock* block = &registry.first;;) {
    for (MappedRange& range : block->ranges) {
      bool expected = false;
      if (range.taken.compare_exchange_strong(expected, true, std::memory_order_acq_rel)) return &range;
    }
    RangeBlock* next = block->next.load(std::memory_order_acquire);
    if (next == nullptr) {
      auto* const fresh = new RangeBlock;
      if (block->next.compare_exchange_strong(next, fresh, std::memory_order_acq_rel)) {
        next = fresh;
      } else {
        delete fresh;
      }
    }
    block = next;
  }
}

}  // namespace

MappedRange* register_mapped_range(const void* address, std::size_t num_bytes, int fd) {
  static std::once_flag installed;
  std::call_once(installed, install_handler);
  MappedRange* const range = take_free_range();
  range->shrank.store(false, std::memory_order_release);
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t num_pages = (num_bytes + registry.page_bytes - 1) / registry.page_bytes;
  publish(*range, begin, begin + num_pages * registry.page_bytes, fd);
  return range;
}

void unregister_mapped_range(MappedRange* range) {
  publish(*range, 0, 0, -1);
  range->taken.store(false, std::memory_order_release);
}

}  // namespace nvfp4
