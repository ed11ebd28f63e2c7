#include "base/mapped_file.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "base/mapped_range.h"

namespace nvfp4 {

Result<std::shared_ptr<const MappedFile>> MappedFile::map(std::shared_ptr<const File> file) {
  const std::size_t num_bytes = file->num_bytes();
  if (num_bytes == 0) return std::shared_ptr<const MappedFile>(new MappedFile(std::move(file), {}, nullptr));
  void* const address = ::mmap(nullptr, num_bytes, PROT_READ, MAP_PRIVATE, file->fd(), 0);
  if (address == MAP_FAILED) {
    return Error{
        ErrorCode::kIo, file->label(),
        fmt::format("cannot map {} bytes: {}; load with plain reads instead", num_bytes, system_error_text(errno))};
  }
  MappedRange* const range = register_mapped_range(address, num_bytes, file->fd());
  const std::span bytes(static_cast<const std::byte*>(address), num_bytes);
  return std::shared_ptr<const MappedFile>(new MappedFile(std::move(file), bytes, range));
}

MappedFile::~MappedFile() {
  if (range_ == nullptr) return;
  // First out of the registry: the addresses may belong to somebody else's map as soon as they are free.
  unregister_mapped_range(range_);
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Status MappedFile::verify() const {
  NVFP4_RETURN_IF_ERROR(file_->check_size());
  if (range_ != nullptr && range_->shrank.load(std::memory_order_acquire)) {
    return Error{ErrorCode::kIo, file_->label(),
                 fmt::format("shrank, or its device failed, while it was mapped ({} bytes); missing bytes were read as "
                             "zeros: open the model again",
                             file_->num_bytes())};
  }
  return {};
}

}  // namespace nvfp4
