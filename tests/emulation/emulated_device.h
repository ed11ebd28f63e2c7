// The device that kernels believe to run on.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "device/device_caps.h"
#include "emulation/block.h"

namespace nvfp4::emulation {

// Of the device that tests run on next; an RTX-sized sm_80 with few multiprocessors to begin with.
[[nodiscard]] DeviceCaps& emulated_device();
[[nodiscard]] DeviceCaps device_like_sm80();
[[nodiscard]] DeviceCaps device_like_sm90();
[[nodiscard]] DeviceCaps device_like_sm120();

// Shared memory that a kernel may ask for when it is launched: 48 KiB unless it was allowed more.
[[nodiscard]] bool allow_dynamic_shared(const void* kernel, std::uint64_t num_bytes);

// Runs all blocks, one after another, in an order that changes; while work is recorded, later. False when the launch
// asks for what the device does not have.
[[nodiscard]] bool submit(const Launch& launch);

// Work of the device: done at once, or recorded between begin_recording() and end_recording().
using Work = std::function<void()>;
void submit(Work work);
void begin_recording();
[[nodiscard]] std::vector<Work> end_recording();

}  // namespace nvfp4::emulation
