#include "device/buffer.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace nvfp4 {

Result<Buffer> Buffer::allocate(std::size_t num_bytes, std::string_view what) {
  auto data = runtime::allocate(std::max<std::size_t>(num_bytes, 1));
  if (!data.ok()) {
    Error error = std::move(data).error();
    if (!what.empty()) error.where = std::string(what);
    return error;
  }
  return Buffer(*data, num_bytes);
}

Status Buffer::upload(const void* from, std::size_t num_bytes, std::size_t offset, DeviceStream stream) const {
  assert(offset <= num_bytes_ && num_bytes <= num_bytes_ - offset);
  return runtime::copy(data() + offset, from, num_bytes, runtime::CopyKind::kToDevice, stream);
}

Status Buffer::download(void* to, std::size_t num_bytes, std::size_t offset, DeviceStream stream) const {
  assert(offset <= num_bytes_ && num_bytes <= num_bytes_ - offset);
  return runtime::copy(to, data() + offset, num_bytes, runtime::CopyKind::kToHost, stream);
}

Status Buffer::fill(std::uint8_t value, DeviceStream stream) const {
  return runtime::fill(data(), value, num_bytes_, stream);
}

Result<PinnedBuffer> PinnedBuffer::allocate(std::size_t num_bytes) {
  const auto data = runtime::allocate_pinned(std::max<std::size_t>(num_bytes, 1));
  NVFP4_RETURN_IF_ERROR(data);
  return PinnedBuffer(*data, num_bytes);
}

}  // namespace nvfp4
