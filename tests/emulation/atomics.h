// Atomic operations on integers, and fences. What a thread did before a fence is seen by those that read its later
// atomic operation and then have a fence themselves.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvfp4::emulation {

void begin_launch_of_atomics();

enum class AtomicKind : std::uint8_t { kAdd, kOr, kMax, kExchange };
// By the running thread, of a number of num_bytes (4 or 8) without sign; answers what it was before.
std::uint64_t change_atomically(AtomicKind kind, void* address, std::size_t num_bytes, std::uint64_t value);
enum class FenceScope : std::uint8_t { kBlock, kDevice };
void fence(FenceScope scope);

}  // namespace nvfp4::emulation
