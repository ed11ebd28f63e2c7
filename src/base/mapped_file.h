// A file mapped for reading. When another program truncates it, reads past its new end give zeros and verify() an
// Error; no signal ends the process.
//
// Mapped with the kernel's default read-ahead: whole tensors are read through it. For scattered scalars use
// File::read_at; a page fault would bring in (and count as resident) the 16 pages around each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/file.h"
#include "nvfp4/result.h"

namespace nvfp4 {

struct MappedRange;

class MappedFile {
 public:
  // The first call of the process installs a SIGBUS handler. It hands faults outside our maps to the handler before it.
  [[nodiscard]] static Result<std::shared_ptr<const MappedFile>> map(std::shared_ptr<const File> file);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  // An Error if the file shrank, now or at any read through the map.
  [[nodiscard]] Status verify() const;

 private:
  MappedFile(std::shared_ptr<const File> file, std::span<const std::byte> bytes, MappedRange* range)
      : file_(std::move(file)), bytes_(bytes), range_(range) {}

  std::shared_ptr<const File> file_;
  std::span<const std::byte> bytes_;
  MappedRange* range_ = nullptr;  // null for an empty file
};

}  // namespace nvfp4
