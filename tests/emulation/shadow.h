// Who touched which bytes last.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace nvfp4::emulation {

enum class AccessKind : std::uint8_t { kRead, kWrite, kAtomic };

// One thread of a launch, and its clock when it did something. Clock 0: nobody.
struct Access {
  // An asynchronous copy that has not landed: happened before nothing.
  static constexpr std::uint32_t kInFlight = 0xFFFFFFFF;

  std::uint32_t thread = 0;  // ThreadId
  std::uint32_t clock = 0;
  std::uint32_t launch : 31 = 0;
  std::uint32_t is_atomic : 1 = 0;

  Access() = default;
  Access(std::uint32_t thread_id, std::uint32_t at, std::uint32_t launch_number, bool atomic)
      : thread(thread_id), clock(at), launch(launch_number & 0x7FFFFFFFU), is_atomic(atomic ? 1 : 0) {}
};

// A thread of a grid as one number.
struct ThreadId {
  static constexpr std::uint32_t kShift = 10;  // a block has up to 1024 threads

  [[nodiscard]] static constexpr std::uint32_t of(std::uint32_t block, std::uint32_t thread) {
    return block << kShift | thread;
  }
  [[nodiscard]] static constexpr std::uint32_t block(std::uint32_t id) { return id >> kShift; }
  [[nodiscard]] static constexpr std::uint32_t thread(std::uint32_t id) { return id & ((1U << kShift) - 1); }
};

// Of a byte, or of a word that is only touched as a whole. Two readers are remembered: the first, unless another is
// known to come after it, and the last.
struct ShadowPlace {
  Access write;
  std::array<Access, 2> reads;
};

// The bytes of one piece of memory, in pages: by words, until some part of a word of the page is touched.
class Shadow {
 public:
  explicit Shadow(std::size_t num_bytes) : pages_((num_bytes + kPageBytes - 1) / kPageBytes) {}

  // Calls visit(place, offset) for each of the bytes or words until it answers false. What was remembered under
  // generations up to `forgotten` is forgotten.
  template <class Visit>
  bool visit(std::size_t offset, std::size_t num_bytes, std::uint64_t generation, std::uint64_t forgotten,
             const Visit& visit_place) {
    for (const std::size_t end = offset + num_bytes; offset < end;) {
      const std::size_t page_idx = offset / kPageBytes;
      const std::size_t page_end = end < (page_idx + 1) * kPageBytes ? end : (page_idx + 1) * kPageBytes;
      Page& page = page_at(page_idx, generation, forgotten);
      if (!page.is_fine && (offset | page_end) % kWordBytes != 0) page.refine();
      const std::size_t step = page.is_fine ? 1 : kWordBytes;
      ShadowPlace* place = page.is_fine ? &page.bytes[offset % kPageBytes] : &page.words[offset % kPageBytes / step];
      for (; offset < page_end; offset += step, ++place) {
        if (!visit_place(*place, offset)) return false;
      }
    }
    return true;
  }

 private:
  static constexpr std::size_t kPageBytes = 1024;
  static constexpr std::size_t kWordBytes = 4;

  struct Page {
    std::uint64_t generation = 0;
    bool is_fine = false;
    std::array<ShadowPlace, kPageBytes / kWordBytes> words;
    std::vector<ShadowPlace> bytes;

    void refine() {
      is_fine = true;
      bytes.resize(kPageBytes);
      for (std::size_t i = 0; i < kPageBytes; ++i) bytes[i] = words[i / kWordBytes];
    }
  };
  Page& page_at(std::size_t idx, std::uint64_t generation, std::uint64_t forgotten) {
    std::unique_ptr<Page>& page = pages_[idx];
    if (page == nullptr) page = std::make_unique<Page>();
    if (page->generation == generation) return *page;
    if (page->generation <= forgotten) {
      page->is_fine = false;
      page->words = {};
    }
    page->generation = generation;
    return *page;
  }

  std::vector<std::unique_ptr<Page>> pages_;
};

}  // namespace nvfp4::emulation
