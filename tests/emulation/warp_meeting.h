// Lanes of a warp that do something together: the last to come does it for all.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace nvfp4::emulation {

class Block;

class WarpMeetings {
 public:
  // What each lane brings and takes, on its own stack; null for lanes that are not in `mask`.
  using Slots = std::array<void*, 32>;
  using Complete = void (*)(Block& block, std::uint32_t first_thread, std::uint32_t mask, const Slots& slots);

  void begin_block() { meetings_.clear(); }
  // Returns when all lanes of `mask` have come and complete() has run. what: a name, the same object for all.
  void meet(Block& block, const char* what, std::uint32_t mask, void* slot, Complete complete);

 private:
  struct Meeting {
    std::uint32_t warp = 0;
    std::uint32_t mask = 0;
    std::uint32_t arrived = 0;
    const char* what = nullptr;
    Slots slots{};
  };
  Meeting& find(Block& block, const char* what, std::uint32_t mask);

  std::vector<Meeting> meetings_;  // that not all have come to
};

}  // namespace nvfp4::emulation
