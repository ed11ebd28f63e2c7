// A GPU. Calls of this room and of kernels go to the device that the calling thread activated last.
#pragma once

#include <cstdint>

#include "device/device_caps.h"
#include "nvfp4/result.h"

namespace nvfp4 {

class Device {
 public:
  // An Error where there is no such device, no driver, too old a driver, or no CUDA in this build. Activates it.
  [[nodiscard]] static Result<Device> open(std::uint32_t device_idx);
  // At least 1, or an Error.
  [[nodiscard]] static Result<std::uint32_t> count();

  [[nodiscard]] const DeviceCaps& caps() const { return caps_; }
  // For another thread.
  [[nodiscard]] Status activate() const;
  [[nodiscard]] Result<std::uint64_t> free_bytes() const;
  // Waits for everything on the device.
  [[nodiscard]] Status synchronize() const;

 private:
  explicit Device(DeviceCaps caps) : caps_(std::move(caps)) {}

  DeviceCaps caps_;
};

}  // namespace nvfp4
