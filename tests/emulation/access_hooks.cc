// What the compiler calls at each access of the kernels' code: it is compiled with -fsanitize=thread, and these
// functions stand in for the runtime of that sanitizer.
#include <cstddef>

#include "emulation/access.h"

#if !NVFP4_EMULATION_ASAN

using nvfp4::emulation::AccessKind;
using nvfp4::emulation::touch;

#define NVFP4_ACCESS_HOOKS(size)                                                                                    \
  void __tsan_read##size(void* address) { touch(AccessKind::kRead, address, size, __builtin_return_address(0)); }   \
  void __tsan_write##size(void* address) { touch(AccessKind::kWrite, address, size, __builtin_return_address(0)); } \
  void __tsan_unaligned_read##size(void* address) {                                                                 \
    touch(AccessKind::kRead, address, size, __builtin_return_address(0));                                           \
  }                                                                                                                 \
  void __tsan_unaligned_write##size(void* address) {                                                                \
    touch(AccessKind::kWrite, address, size, __builtin_return_address(0));                                          \
  }

extern "C" {
NVFP4_ACCESS_HOOKS(1)
NVFP4_ACCESS_HOOKS(2)
NVFP4_ACCESS_HOOKS(4)
NVFP4_ACCESS_HOOKS(8)
NVFP4_ACCESS_HOOKS(16)

void __tsan_read_range(void* address, std::size_t num_bytes) {
  touch(AccessKind::kRead, address, num_bytes, __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t num_bytes) {
  touch(AccessKind::kWrite, address, num_bytes, __builtin_return_address(0));
}
void __tsan_vptr_update(void** /*address*/, void* /*value*/) {}
void __tsan_vptr_read(void** /*address*/) {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
void __tsan_init() {}
// Counts in code of the host: of shared pointers, of tests.
int __tsan_atomic32_fetch_sub(volatile int* address, int value, int /*order*/) {
  return __atomic_fetch_sub(address, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_fetch_add(volatile int* address, int value, int /*order*/) {
  return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);
}
}

#endif
