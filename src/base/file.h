// A regular file, open for reading at any offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "nvfp4/result.h"

namespace nvfp4 {

// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  int release();

 private:
  int fd_ = -1;
};

// A folder that files are opened under.
class Directory {
 public:
  [[nodiscard]] static Result<Directory> open(const std::filesystem::path& path);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  Directory(FileDescriptor fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  FileDescriptor fd_;
  std::filesystem::path path_;
};

class File {
 public:
  // Follows symbolic links. `where` of errors is the path. Anything but a regular file is refused, without blocking.
  [[nodiscard]] static Result<File> open(const std::filesystem::path& path);
  // `relative` (plain components only) under `base`, following no symbolic link; `label` names the file in errors.
  [[nodiscard]] static Result<File> open_beneath(const Directory& base, const std::filesystem::path& relative,
                                                 std::string label);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint64_t num_bytes() const { return num_bytes_; }  // when it was opened
  [[nodiscard]] const std::string& label() const { return label_; }

  // Fills `out` from byte `offset` on, or says that the file shrank.
  [[nodiscard]] Status read_at(std::uint64_t offset, std::span<std::byte> out) const;
  // An Error if the file is now smaller than when it was opened.
  [[nodiscard]] Status check_size() const;

 private:
  File(FileDescriptor fd, std::uint64_t num_bytes, std::string label)
      : fd_(std::move(fd)), num_bytes_(num_bytes), label_(std::move(label)) {}
  [[nodiscard]] static Result<File> adopt(FileDescriptor fd, std::string label);

  FileDescriptor fd_;
  std::uint64_t num_bytes_ = 0;
  std::string label_;
};

// All of a small file as text; an Error when it has more than `max_bytes`.
[[nodiscard]] Result<std::string> read_text(const File& file, std::uint64_t max_bytes);
[[nodiscard]] Result<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// For error texts: the name in double quotes, on one line, shortened when it is very long.
[[nodiscard]] std::string quote_name(std::string_view name);

// What errno says, in words.
[[nodiscard]] std::string system_error_text(int error_number);

}  // namespace nvfp4
