// Arrays on the device for tests. Whatever fails, fails the test.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "device/buffer.h"
#include "device/stream.h"

namespace nvfp4::support {

class GpuQueue {
 public:
  GpuQueue() : stream_(must(Stream::create())) {}

  [[nodiscard]] const Stream& stream() const { return stream_; }
  [[nodiscard]] DeviceStream get() const { return stream_.get(); }
  void expect_ok(const Status& status) const { EXPECT_TRUE(status.ok()) << status.error().to_string(); }

  template <class T>
  static T must(Result<T> result) {
    EXPECT_TRUE(result.ok()) << result.error().to_string();
    return std::move(result).value();
  }

 private:
  Stream stream_;
};

template <class T>
class GpuArray {
 public:
  GpuArray(const GpuQueue& queue, std::span<const T> values)
      : queue_(queue), count_(values.size()), buffer_(GpuQueue::must(to_device(values, queue.get()))) {}
  GpuArray(const GpuQueue& queue, const std::vector<T>& values) : GpuArray(queue, std::span<const T>(values)) {}
  // Bytes 0xA5: what a kernel does not write, a test sees.
  GpuArray(const GpuQueue& queue, std::size_t count)
      : queue_(queue), count_(count), buffer_(GpuQueue::must(Buffer::allocate(count * sizeof(T)))) {
    queue.expect_ok(buffer_.fill(0xA5, queue.get()));
  }

  [[nodiscard]] T* data() const { return buffer_.template as<T>(); }
  [[nodiscard]] std::vector<T> host() const {
    std::vector<T> values(count_);
    queue_.expect_ok(to_host(buffer_, std::span<T>(values), queue_.get()));
    return values;
  }

 private:
  const GpuQueue& queue_;
  std::size_t count_;
  Buffer buffer_;
};

}  // namespace nvfp4::support
