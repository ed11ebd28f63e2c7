// What a GPU is and has: plain data, known without CUDA.
#pragma once

#include <cstdint>
#include <string>

namespace nvfp4 {

struct DeviceCaps {
  std::uint32_t device_idx = 0;
  std::string name;                          // "NVIDIA H200"
  std::uint32_t sm = 0;                      // compute capability, 90 for 9.0
  std::uint32_t num_sms = 0;                 // multiprocessors
  std::uint32_t num_threads_per_sm = 0;      // that can be resident
  std::uint32_t num_registers_per_sm = 0;    // of 32 bits
  std::uint64_t shared_bytes_per_sm = 0;     // shared memory of all blocks
  std::uint64_t shared_bytes_per_block = 0;  // largest that a block may ask for (cudaFuncSetAttribute)
  std::uint64_t reserved_shared_bytes = 0;   // taken from shared_bytes_per_sm by the system, for each block
  std::uint64_t l2_bytes = 0;
  std::uint64_t memory_bytes = 0;     // all of it
  std::uint32_t driver_version = 0;   // newest CUDA that the driver knows, 13000 for 13.0
  std::uint32_t runtime_version = 0;  // CUDA that this program was built with
};

}  // namespace nvfp4
