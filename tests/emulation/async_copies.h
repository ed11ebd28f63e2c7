// Copies that run beside the threads. They land as late as they may: those of a thread when it waits for them, or when
// its arrival at a barrier is due; bulk copies when everybody waits, or at some time. Until then their bytes are 0xA5.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "emulation/clock.h"
#include "emulation/tensor_box.h"

namespace nvfp4::emulation {

class Block;

class AsyncCopies {
 public:
  void begin_block();

  // cp.async: 16 bytes to a shared address, the first num_bytes from memory, the others 0. In groups.
  void copy(Block& block, std::uint32_t to, const void* from, std::uint32_t num_bytes);
  void end_group(Block& block);
  void wait_for_groups(Block& block, std::size_t num_newest);
  void arrive_when_copied(Block& block, std::uint32_t barrier);
  void end_thread(Block& block);

  // cp.async.bulk: counts as num_bytes at the barrier.
  void copy_bulk(Block& block, std::uint32_t to, const void* from, std::uint32_t num_bytes, std::uint32_t barrier);
  // The same of a box of a tensor.
  void copy_box(Block& block, std::uint32_t to, const TensorBox& box, std::uint32_t barrier);
  // Copies that land by themselves, and arrivals that wait for copies.
  [[nodiscard]] bool has_bulk() const { return !bulk_.empty() || !arrivals_.empty(); }
  void land_one(Block& block);

 private:
  struct Copy {
    std::uint32_t to;
    const void* from;
    std::uint32_t num_bytes;    // from memory
    std::uint32_t total_bytes;  // the rest is 0
    std::uint32_t thread;
  };
  struct BulkCopy {
    Copy copy;
    TensorBox box;  // with a rank of 0: none
    std::uint32_t barrier;
    View view;
    std::uint32_t clock;
  };
  struct Arrival {
    std::uint32_t thread;
    std::uint32_t barrier;
    std::vector<Copy> copies;
  };
  struct OfThread {
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;  // oldest first
  };
  static void begin(Block& block, const Copy& copy, const void* code);
  static void land(Block& block, const Copy& copy, std::uint32_t clock);
  static void land(Block& block, const BulkCopy& bulk);

  std::vector<OfThread> of_thread_;
  std::vector<BulkCopy> bulk_;
  std::vector<Arrival> arrivals_;
};

}  // namespace nvfp4::emulation
