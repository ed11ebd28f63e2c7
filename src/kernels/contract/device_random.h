// Random weights and activations made on a GPU, and a look at what a kernel made of them: for measurements, where
// gigabytes would take long to come from the host. `key` decides every byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_pack.h"
#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

// Roots of the mean squares of what is filled in.
inline constexpr double kRandomFragmentRms = 3.39087;  // code times block scale
inline constexpr double kRandomE4m3Rms = 68.508;

// In device memory.
struct ValueCounts {
  std::uint64_t num_not_finite = 0;
  std::uint64_t num_not_zero = 0;
};

struct DeviceRandom {
  // NVFP4 in the layout of the kernels: any codes, block scales from 1/2 to 1 7/8, what pads a matrix 0. block_size is
  // 16 and stands for any.
  Status (*fill_fragments)(const FragmentPieces& pieces, std::uint64_t key, std::uint8_t* packed, DeviceStream stream);
  // Magnitudes up to 240.
  Status (*fill_e4m3)(std::size_t count, std::uint64_t key, std::uint8_t* values, DeviceStream stream);
  // Normally distributed.
  Status (*fill_bf16)(std::size_t count, double deviation, std::uint64_t key, Bf16Bits* values, DeviceStream stream);
  // Adds to the counts.
  Status (*count_bf16)(const Bf16Bits* values, std::size_t count, ValueCounts* counts, DeviceStream stream);
};

}  // namespace nvfp4::kernels
