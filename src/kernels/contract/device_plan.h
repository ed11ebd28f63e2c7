// What kernels for a GPU have in common: a plan is made once for a maximum of tokens, then run any number of times.
//
// run() neither allocates nor waits, and may be captured into a CUDA graph from the first call on: whatever a kernel
// must set (shared memory, cluster sizes) it sets in plan(). Several plans, or one plan with several workspaces, run on
// several streams at once. The same arguments give the same bits.
//
// All device pointers are 16-byte aligned, workspaces kDeviceAlignment. A workspace holds anything before the first
// run, except that its first `zeroed_bytes`, a multiple of kDeviceAlignment, are 0; every run leaves those at 0 again.
// Nothing else is kept in it between two runs: kernels that run one after the other may share it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "device/device_caps.h"
#include "device/device_stream.h"

namespace nvfp4::kernels {

// BF16 bits; what __nv_bfloat16 is on the device.
using Bf16Bits = std::uint16_t;

inline constexpr std::size_t kDeviceAlignment = 256;

// How the elements of a weight lie in device memory.
enum class DeviceWeightLayout : std::uint8_t {
  kRowMajor,          // BF16 or E4M3 [out, in]
  kFragment16x64,     // NVFP4 codes and scales in tiles (layouts/fragment_16x64.h)
  kBlockScaled16x64,  // the same in the order of the FP4 instruction (layouts/block_scaled_16x64.h)
};

struct DeviceWorkspace {
  std::byte* data = nullptr;
  std::size_t num_bytes = 0;
};

// What a plan decided besides its problem.
struct DevicePlanSizes {
  std::uint32_t max_tokens = 0;
  std::uint32_t num_sms = 0;
  std::size_t workspace_bytes = 0;        // for every number of tokens up to max_tokens
  std::size_t zeroed_bytes = 0;           // of those, from the front
  std::array<std::uint32_t, 8> choice{};  // the kernel's own
};

}  // namespace nvfp4::kernels
