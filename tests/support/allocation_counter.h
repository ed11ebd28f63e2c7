// Counts calls of operator new in the whole executable, to show that something does not allocate. Include it in one
// source file of an executable only. Not under ThreadSanitizer, which brings its own operator new: there
// NVFP4_COUNTS_ALLOCATIONS is 0.
#pragma once

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NVFP4_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef NVFP4_COUNTS_ALLOCATIONS
#define NVFP4_COUNTS_ALLOCATIONS 1
#endif

#if NVFP4_COUNTS_ALLOCATIONS
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace nvfp4::support {

inline std::atomic<std::size_t> num_allocations{0};

inline void* counted_allocation(std::size_t num_bytes) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = std::malloc(num_bytes == 0 ? 1 : num_bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace nvfp4::support

// Not inlined: seen through, a pair of new and free() looks like a mistake to compilers.
[[gnu::noinline]] void* operator new(std::size_t num_bytes) { return nvfp4::support::counted_allocation(num_bytes); }
[[gnu::noinline]] void* operator new[](std::size_t num_bytes) { return nvfp4::support::counted_allocation(num_bytes); }
[[gnu::noinline]] void* operator new(std::size_t num_bytes, const std::nothrow_t&) noexcept {
  return nvfp4::support::counted_allocation(num_bytes);
}
[[gnu::noinline]] void* operator new[](std::size_t num_bytes, const std::nothrow_t&) noexcept {
  return nvfp4::support::counted_allocation(num_bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

#endif  // NVFP4_COUNTS_ALLOCATIONS
