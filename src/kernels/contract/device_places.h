// Arrays one after the other in a workspace.
#pragma once

#include <cstddef>

#include "kernels/contract/device_plan.h"

namespace nvfp4::kernels {

// What derives from it takes its places in its constructor.
struct WorkspacePlaces {
  std::size_t num_bytes = 0;  // of all that were taken

 protected:
  // data: null, to count.
  explicit WorkspacePlaces(std::byte* data) : data_(data) {}

  // The next place, for so many values, aligned to kDeviceAlignment.
  template <class T>
  void take(T*& pointer, std::size_t count) {
    if (data_ != nullptr) pointer = reinterpret_cast<T*>(data_ + num_bytes);
    num_bytes += (count * sizeof(T) + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
  }

 private:
  std::byte* const data_;
};

}  // namespace nvfp4::kernels
