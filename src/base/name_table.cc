#include "base/name_table.h"

#include <sys/random.h>

#include <array>
#include <chrono>

namespace nvfp4 {

NameHasher NameHasher::random() {
  std::array<std::uint64_t, 2> seeds{};
  if (::getrandom(seeds.data(), sizeof seeds, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof seeds)) {
    // No entropy this early after boot: a clock and an address are better than a constant.
    seeds[0] = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) * kOdd;
    seeds[1] = reinterpret_cast<std::uintptr_t>(&seeds) * kOdd;
  }
  return {seeds[0], seeds[1]};
}

}  // namespace nvfp4
