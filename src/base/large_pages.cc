#include "base/large_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

namespace nvfp4 {
namespace {

std::size_t whole_pages(std::size_t num_bytes) {
  return (num_bytes + kLargePageBytes - 1) / kLargePageBytes * kLargePageBytes;
}

}  // namespace

void* map_large_pages(std::size_t num_bytes) noexcept {
  const std::size_t size = whole_pages(num_bytes);
  if (size < num_bytes || size + kLargePageBytes < size) return nullptr;
  // More than is needed, then the ends that are not aligned go back.
  void* const memory =
      ::mmap(nullptr, size + kLargePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(memory);
  char* const aligned =
      begin + (kLargePageBytes - reinterpret_cast<std::uintptr_t>(begin) % kLargePageBytes) % kLargePageBytes;
  if (aligned > begin) ::munmap(begin, static_cast<std::size_t>(aligned - begin));
  const std::size_t behind = kLargePageBytes - static_cast<std::size_t>(aligned - begin);
  if (behind > 0) ::munmap(aligned + size, behind);
  ::madvise(aligned, size, MADV_HUGEPAGE);  // a wish: without it the memory is there all the same
  return aligned;
}

void unmap_large_pages(void* memory, std::size_t num_bytes) noexcept { ::munmap(memory, whole_pages(num_bytes)); }

LargePageMode parse_large_page_mode(std::string_view text) {
  if (text.find("[always]") != std::string_view::npos) return LargePageMode::kAlways;
  if (text.find("[madvise]") != std::string_view::npos) return LargePageMode::kMadvise;
  if (text.find("[never]") != std::string_view::npos) return LargePageMode::kNever;
  return LargePageMode::kUnknown;
}

LargePageMode large_page_mode() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(file, text);
  return parse_large_page_mode(text);
}

void discard_large_pages(void* memory, std::size_t num_bytes) noexcept {
  ::madvise(memory, num_bytes / kLargePageBytes * kLargePageBytes, MADV_DONTNEED);
}

std::shared_ptr<char> LargePagePool::allocate(std::size_t num_bytes) {
  const std::size_t wanted = (num_bytes + 63) / 64 * 64;
  if (wanted < num_bytes) return nullptr;
  if (wanted > size_ - used_) {
    const std::size_t size = whole_pages(std::max(wanted, kLargePageBytes));
    void* const memory = map_large_pages(size);
    if (memory == nullptr) return nullptr;
    block_ = std::shared_ptr<char>(static_cast<char*>(memory), [size](char* block) { unmap_large_pages(block, size); });
    used_ = 0;
    size_ = size;
  }
  std::shared_ptr<char> piece(block_, block_.get() + used_);
  used_ += wanted;
  return piece;
}

}  // namespace nvfp4
