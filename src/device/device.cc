#include "device/device.h"

#include <fmt/format.h>

#include "device/runtime.h"

namespace nvfp4 {

Result<std::uint32_t> Device::count() { return runtime::num_devices(); }

Result<Device> Device::open(std::uint32_t device_idx) {
  const auto num_devices = count();
  NVFP4_RETURN_IF_ERROR(num_devices);
  if (device_idx >= *num_devices) {
    return Error{ErrorCode::kNotFound, "CUDA",
                 fmt::format("there is no device {}; those from 0 to {} are there", device_idx, *num_devices - 1)};
  }
  NVFP4_RETURN_IF_ERROR(runtime::set_device(device_idx));
  auto caps = runtime::query_caps(device_idx);
  NVFP4_RETURN_IF_ERROR(caps);
  return Device(std::move(caps).value());
}

Status Device::activate() const { return runtime::set_device(caps_.device_idx); }

Result<std::uint64_t> Device::free_bytes() const {
  const auto memory = runtime::memory();
  NVFP4_RETURN_IF_ERROR(memory);
  return memory->free_bytes;
}

Status Device::synchronize() const { return runtime::synchronize_device(); }

}  // namespace nvfp4
