// The check of every access of a kernel: is it memory of the device or of the block, and is it ordered with what other
// threads did there? Kernels are compiled so that they call it (access_hooks.cc), except under AddressSanitizer, which
// takes its place: there, these functions do nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "emulation/sanitizer.h"
#include "emulation/shadow.h"

namespace nvfp4::emulation {

class Block;

#if NVFP4_EMULATION_ASAN
inline constexpr bool kChecksAccesses = false;
#else
inline constexpr bool kChecksAccesses = true;
#endif

// By the running thread; `code` is an address in the function that does it. Nothing outside of kernels.
void touch(AccessKind kind, const void* address, std::size_t num_bytes, const void* code);
// The same by another thread of the block.
void touch_as(std::uint32_t thread, AccessKind kind, const void* address, std::size_t num_bytes, const void* code);
// The running thread reads the shared memory of another block of its cluster.
void touch_other(Block& other, std::uint32_t address, std::size_t num_bytes, const void* code);

// Shared memory that a copy of the running thread is to write; and what it has written at a time of a thread's clock.
void mark_in_flight(Block& block, const std::byte* to, std::size_t num_bytes);
void mark_written(Block& block, const std::byte* to, std::size_t num_bytes, std::uint32_t thread, std::uint32_t clock);

// Whether anything wrote these bytes of the block's shared memory, or is to.
[[nodiscard]] bool is_written(Block& block, const std::byte* place, std::size_t num_bytes);

// The function that the code belongs to.
[[nodiscard]] std::string code_name(const void* code);

}  // namespace nvfp4::emulation
