// Memory: on the device, and pinned on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "device/device_handle.h"
#include "device/device_stream.h"
#include "nvfp4/result.h"

namespace nvfp4 {

// Device memory, aligned to 256 bytes. Any number of bytes, also 0.
class Buffer {
 public:
  Buffer() = default;
  // `what` begins the message when there is not enough memory: the weight or the workspace it is for.
  [[nodiscard]] static Result<Buffer> allocate(std::size_t num_bytes, std::string_view what = {});

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(handle_.get()); }
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(handle_.get());
  }
  [[nodiscard]] std::size_t size() const { return num_bytes_; }

  // From host memory that stays as it is until the stream has come so far; pinned memory does not hold the caller up.
  [[nodiscard]] Status upload(const void* from, std::size_t num_bytes, std::size_t offset, DeviceStream stream) const;
  [[nodiscard]] Status download(void* to, std::size_t num_bytes, std::size_t offset, DeviceStream stream) const;
  [[nodiscard]] Status fill(std::uint8_t value, DeviceStream stream) const;

 private:
  Buffer(void* data, std::size_t num_bytes) : handle_(data), num_bytes_(num_bytes) {}

  DeviceHandle<void*> handle_;
  std::size_t num_bytes_ = 0;
};

// A copy of an array on the device, made before the call returns; of one on the host likewise.
template <class T>
[[nodiscard]] Result<Buffer> to_device(std::span<const T> values, DeviceStream stream) {
  auto buffer = Buffer::allocate(values.size_bytes());
  NVFP4_RETURN_IF_ERROR(buffer);
  NVFP4_RETURN_IF_ERROR(buffer->upload(values.data(), values.size_bytes(), 0, stream));
  NVFP4_RETURN_IF_ERROR(runtime::synchronize(stream));
  return buffer;
}
template <class T>
[[nodiscard]] Status to_host(const Buffer& buffer, std::span<T> values, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(buffer.download(values.data(), values.size_bytes(), 0, stream));
  return runtime::synchronize(stream);
}

// Host memory that the device copies from and to directly.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  [[nodiscard]] static Result<PinnedBuffer> allocate(std::size_t num_bytes);
  PinnedBuffer(PinnedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), num_bytes_(std::exchange(other.num_bytes_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(num_bytes_, other.num_bytes_);
    return *this;
  }
  ~PinnedBuffer() {
    if (data_ != nullptr) runtime::release_pinned(data_);
  }

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }
  [[nodiscard]] std::size_t size() const { return num_bytes_; }

 private:
  PinnedBuffer(void* data, std::size_t num_bytes) : data_(data), num_bytes_(num_bytes) {}

  void* data_ = nullptr;
  std::size_t num_bytes_ = 0;
};

}  // namespace nvfp4
