// Faults that a test plants into every kernel, to prove that they are found: operations that do not what they should.
#pragma once

#include <cstdint>

namespace nvfp4::emulation {

enum class PlantedFault : std::uint8_t {
  kNone,
  kNoBlockBarrier,   // __syncthreads() returns at once
  kNoWarpBarrier,    // __syncwarp() too
  kNoPartBarrier,    // a numbered barrier of some threads too
  kNoPhaseWait,      // every phase of a barrier in shared memory has ended
  kNoCopyWait,       // waiting for copies does too
  kNoFence,          // __threadfence() does nothing
  kSwappedFragment,  // products take rows g + 8 of a for columns 2t + 8
};

// While an object lives.
class WithPlantedFault {
 public:
  explicit WithPlantedFault(PlantedFault fault);
  ~WithPlantedFault();
  WithPlantedFault(const WithPlantedFault&) = delete;
  WithPlantedFault& operator=(const WithPlantedFault&) = delete;
};

[[nodiscard]] bool is_planted(PlantedFault fault);

}  // namespace nvfp4::emulation
