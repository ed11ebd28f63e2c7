// The address ranges of our file maps, readable from a signal handler, and the SIGBUS handler that reads them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nvfp4 {

// One entry of the registry. Entries are reused and never freed, so that the handler may read them at any time.
struct MappedRange {
  std::atomic<bool> taken{false};
  std::atomic<std::uint32_t> version{0};  // odd while begin, end and fd are being written
  std::atomic<std::uintptr_t> begin{0};   // addresses [begin, end); both 0 when not live
  std::atomic<std::uintptr_t> end{0};
  std::atomic<int> fd{-1};
  std::atomic<bool> shrank{false};  // the handler had to put zeros into it
};

// Makes [address, address + num_bytes), a map of `fd`, known to the handler; installs that handler at the first call.
[[nodiscard]] MappedRange* register_mapped_range(const void* address, std::size_t num_bytes, int fd);
void unregister_mapped_range(MappedRange* range);

}  // namespace nvfp4
