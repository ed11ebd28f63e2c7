// Faults that a test plants into every kernel, to prove that they are found: operations that do not what they should.
#pragma once

#include <cstdint>

namespace nvfp4::emulation {

enum class PlantedFault : std::uint8_t {
  kNone,
  kNoBlockBarrier,     // __syncthreads() returns at once
  kNoWarpBarrier,      // __syncwarp() too
  kNoNumberedBarrier,  // a barrier of some warps
  kNoCopyWait,         // waiting for copies does too
  kNoFence,            // __threadfence() orders nothing, nor does that of a block, nor count_arrival()
  kNoWaitForKernels,   // kernels do not wait for those ahead
  kNoClusterBarrier,   // the wait of a cluster returns at once
  kNoBulkWait,         // waits for barriers in memory do
  kNoProductWait,      // products that run beside the threads (wgmma) are never done
  kNoArrivalOrder,     // who waits at a barrier in memory is not behind those who arrived
  kSwappedFragment,    // products take rows g + 8 of a for columns 2t + 8
};

// While an object lives.
class WithPlantedFault {
 public:
  explicit WithPlantedFault(PlantedFault fault);
  ~WithPlantedFault();
  WithPlantedFault(const WithPlantedFault&) = delete;
  WithPlantedFault& operator=(const WithPlantedFault&) = delete;
};

namespace planting {
inline PlantedFault planted = PlantedFault::kNone;
}
[[nodiscard]] inline bool is_planted(PlantedFault fault) { return planting::planted == fault; }

}  // namespace nvfp4::emulation
