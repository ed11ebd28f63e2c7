#include "emulation/global_memory.h"

#include <cstdlib>
#include <functional>
#include <map>

namespace nvfp4::emulation {
namespace {

constexpr std::size_t kAlignment = 256;

// By first byte.
using Allocations = std::map<const std::byte*, Allocation, std::greater<>>;
struct Memory {
  Allocations allocations;
  Allocation* last = nullptr;  // that was found
};
Memory& memory() {
  static Memory all;
  return all;
}

bool holds(const Allocation& allocation, const std::byte* place) {
  return place >= allocation.data && place < allocation.data + allocation.num_bytes;
}

}  // namespace

void* allocate_global(std::size_t num_bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, kAlignment, num_bytes) != 0) return nullptr;
  auto* const first = static_cast<std::byte*>(data);
  memory().allocations.try_emplace(first, first, num_bytes);
  return data;
}

void release_global(void* data) {
  memory().last = nullptr;
  memory().allocations.erase(static_cast<std::byte*>(data));
  std::free(data);
}

Allocation* find_allocation(const void* address) {
  Memory& all = memory();
  const auto* const place = static_cast<const std::byte*>(address);
  if (all.last != nullptr && holds(*all.last, place)) return all.last;
  const auto found = all.allocations.lower_bound(place);
  if (found == all.allocations.end() || !holds(found->second, place)) return nullptr;
  all.last = &found->second;
  return all.last;
}

}  // namespace nvfp4::emulation
