// The device's memory: host memory of exactly the size that was asked for, so that AddressSanitizer sees what lies
// beside it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulation/shadow.h"

namespace nvfp4::emulation {

struct Allocation {
  explicit Allocation(std::byte* first, std::size_t count) : data(first), num_bytes(count), shadow(count) {}

  std::byte* data;
  std::size_t num_bytes;
  Shadow shadow;
};

// Aligned to 256 bytes, as the device's are. At least one byte.
[[nodiscard]] void* allocate_global(std::size_t num_bytes);
void release_global(void* data);
// The allocation that the address lies in, or null.
[[nodiscard]] Allocation* find_allocation(const void* address);

}  // namespace nvfp4::emulation
