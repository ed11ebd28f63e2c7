// kernels/contract/peak_loop.h on a GPU: kernels that do one thing as fast as the device can, all of its
// multiprocessors together. What they reach is the ceiling that other kernels are measured against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "device/device_caps.h"
#include "device/device_stream.h"
#include "kernels/contract/peak_loop.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

// Of the device memory that loops are given so that their results are of use: what they write there has no meaning.
inline constexpr std::size_t kPeakSinkBytes = 16;

struct DeviceReadLoop {
  static constexpr std::size_t kStepBytes = 16384;

  std::string_view name;
  // Empty when it runs on the device, else why not, in words.
  std::string (*refusal)(const DeviceCaps& caps);
  // Reads num_bytes (a multiple of kStepBytes) num_passes times, from memory or the L2 cache, whichever has them.
  Status (*run)(const DeviceCaps& caps, const std::byte* memory, std::size_t num_bytes, std::uint32_t num_passes,
                std::byte* sink, DeviceStream stream);
};

struct DeviceMultiplyLoop {
  std::string_view name;
  Multiply kind = Multiply::kBF16;
  std::string (*refusal)(const DeviceCaps& caps);
  // Of one round of the whole device; a multiplication and an addition are two.
  double (*operations_per_round)(const DeviceCaps& caps);
  Status (*run)(const DeviceCaps& caps, std::uint32_t num_rounds, std::byte* sink, DeviceStream stream);
};

}  // namespace nvfp4::kernels
