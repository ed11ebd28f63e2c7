// Memory for large buffers in 2 MB pages where the system gives them on request: a page fault per 2 MB instead of one
// per 4 KB, which is most of what opening a large checkpoint would cost otherwise.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <vector>

namespace nvfp4 {

inline constexpr std::size_t kLargePageBytes = 2 << 20;

// Zeroed memory at a multiple of 2 MB, a whole number of 2 MB long; null when there is none.
[[nodiscard]] void* map_large_pages(std::size_t num_bytes) noexcept;
void unmap_large_pages(void* memory, std::size_t num_bytes) noexcept;
// Gives the memory of whole pages within [0, num_bytes) back to the system; they read as zeros afterwards.
void discard_large_pages(void* memory, std::size_t num_bytes) noexcept;

// Whom the system gives 2 MB pages: everybody, those who ask as map_large_pages does, nobody.
enum class LargePageMode : std::uint8_t { kUnknown, kAlways, kMadvise, kNever };
[[nodiscard]] LargePageMode large_page_mode();
// Of the text of transparent_hugepage/enabled: "always [madvise] never".
[[nodiscard]] LargePageMode parse_large_page_mode(std::string_view text);

// For std::vector: large pages from 1 MB on, the ordinary heap below.
template <class T>
struct LargePageAllocator {
  using value_type = T;
  static constexpr std::size_t kMinBytes = 1 << 20;

  LargePageAllocator() = default;
  template <class U>
  LargePageAllocator(const LargePageAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] T* allocate(std::size_t count) {
    if (count * sizeof(T) < kMinBytes) return std::allocator<T>().allocate(count);
    void* const memory = map_large_pages(count * sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    if (count * sizeof(T) < kMinBytes) {
      std::allocator<T>().deallocate(memory, count);
    } else {
      unmap_large_pages(memory, count * sizeof(T));
    }
  }
  friend bool operator==(const LargePageAllocator&, const LargePageAllocator&) { return true; }
};

template <class T>
using LargeVector = std::vector<T, LargePageAllocator<T>>;

// Hands out pieces of large blocks. A piece keeps its block alive, so the pool may go first.
class LargePagePool {
 public:
  // Uninitialised bytes, aligned to 64; null when there is no memory.
  [[nodiscard]] std::shared_ptr<char> allocate(std::size_t num_bytes);

 private:
  std::shared_ptr<char> block_;
  std::size_t used_ = 0;
  std::size_t size_ = 0;
};

// An array that grows to a capacity known before, in memory of a pool when it is large. Elements never move.
template <class T>
class PoolArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t kMinPoolBytes = 64 << 10;

  PoolArray() = default;
  // Test valid(): there may not be enough memory.
  PoolArray(std::size_t capacity, LargePagePool& pool) : capacity_(capacity) {
    const std::size_t num_bytes = capacity * sizeof(T);
    if (num_bytes >= kMinPoolBytes) {
      memory_ = pool.allocate(num_bytes);
    } else {
      memory_ = std::shared_ptr<char>(new (std::nothrow) char[num_bytes + 1], std::default_delete<char[]>());
    }
  }

  [[nodiscard]] bool valid() const { return memory_ != nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] T* begin() { return reinterpret_cast<T*>(memory_.get()); }
  [[nodiscard]] T* end() { return begin() + size_; }
  [[nodiscard]] const T* begin() const { return reinterpret_cast<const T*>(memory_.get()); }
  [[nodiscard]] const T* end() const { return begin() + size_; }
  T& operator[](std::size_t i) { return begin()[i]; }
  const T& operator[](std::size_t i) const { return begin()[i]; }
  [[nodiscard]] const T& back() const { return begin()[size_ - 1]; }
  // The caller keeps within the capacity.
  void push_back(const T& value) {
    assert(size_ < capacity_);
    ::new (static_cast<void*>(begin() + size_)) T(value);
    ++size_;
  }

 private:
  std::shared_ptr<char> memory_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace nvfp4
