// Owns something that the CUDA runtime gave out.
#pragma once

#include <utility>

#include "device/runtime.h"

namespace nvfp4 {

// Handle: a pointer type with a runtime::release().
template <class Handle>
class DeviceHandle {
 public:
  DeviceHandle() = default;
  explicit DeviceHandle(Handle handle) : handle_(handle) {}
  DeviceHandle(DeviceHandle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  DeviceHandle& operator=(DeviceHandle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~DeviceHandle() {
    if (handle_ != nullptr) runtime::release(handle_);
  }

  [[nodiscard]] Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

}  // namespace nvfp4
