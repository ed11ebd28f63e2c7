// Who touched which bytes last.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace nvfp4::emulation {

enum class AccessKind : std::uint8_t { kRead, kWrite, kAtomic };

// One thread of a grid, and its clock when it did something. Clock 0: nobody.
struct Access {
  // An asynchronous copy that has not landed: happened before nothing.
  static constexpr std::uint32_t kInFlight = 0xFFFFFFFF;

  std::uint32_t thread = 0;  // of the grid
  std::uint32_t clock = 0;
  bool is_atomic = false;
};

// Two readers are remembered: the first, unless another is known to come after it, and the last.
struct ShadowByte {
  Access write;
  std::array<Access, 2> reads;
};

// The bytes of one piece of memory. What was remembered under another generation is forgotten.
class Shadow {
 public:
  explicit Shadow(std::size_t num_bytes) : pages_((num_bytes + kPageBytes - 1) / kPageBytes) {}

  [[nodiscard]] ShadowByte& at(std::size_t offset, std::uint64_t generation) {
    std::unique_ptr<Page>& page = pages_[offset / kPageBytes];
    if (page == nullptr) page = std::make_unique<Page>();
    if (page->generation != generation) {
      page->bytes = {};
      page->generation = generation;
    }
    return page->bytes[offset % kPageBytes];
  }

 private:
  static constexpr std::size_t kPageBytes = 1024;

  struct Page {
    std::uint64_t generation = 0;
    std::array<ShadowByte, kPageBytes> bytes;
  };
  std::vector<std::unique_ptr<Page>> pages_;
};

}  // namespace nvfp4::emulation
