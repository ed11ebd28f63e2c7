// Products that run beside the threads (wgmma). They are done as late as they may: when their warp waits for them.
// Until then their sums, their left operands and the shared memory that they read must stay as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nvfp4::emulation {

class Block;

// d[16][num_columns] += a[16][16] * b[16][num_columns] in BF16 by one warp of a warpgroup: exact products, summed in
// float64 and rounded to float32 once.
struct WideProduct {
  float* d;                // of this lane: for every 8 columns as multiply_bf16() has it
  const std::uint32_t* a;  // of this lane, likewise
  std::uint32_t columns;   // the shared address of b's first row: a column is 128 bytes, swizzled
  std::uint32_t num_columns;
  const void* code;  // in the function that starts it
};

class WideProducts {
 public:
  void begin_block();

  // By each lane of a warp.
  void start(Block& block, const WideProduct& product);
  void end_group(Block& block);
  void wait_for_groups(Block& block, std::size_t num_newest);

 private:
  struct OfThread {
    std::vector<WideProduct> open;
    std::vector<std::vector<WideProduct>> groups;  // oldest first
  };
  std::vector<OfThread> of_thread_;
};

}  // namespace nvfp4::emulation
