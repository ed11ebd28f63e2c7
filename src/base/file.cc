#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/checked_math.h"

namespace nvfp4 {
namespace {

constexpr std::size_t kMaxReadBytes = std::size_t{1} << 30;  // Linux reads at most 2 GiB - 4096 bytes at once

// O_NONBLOCK: opening a pipe must answer at once. It changes nothing for regular files.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

int open_retrying(int directory_fd, const char* path, int flags) {
  int fd = -1;
  do {
    fd = ::openat(directory_fd, path, flags);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

Error open_error(std::string label, int error_number) {
  const bool absent = error_number == ENOENT || error_number == ENOTDIR;
  return Error{absent ? ErrorCode::kNotFound : ErrorCode::kIo, std::move(label),
               fmt::format("cannot open: {}", system_error_text(error_number))};
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    FileDescriptor old(std::exchange(fd_, other.release()));
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int FileDescriptor::release() { return std::exchange(fd_, -1); }

Result<Directory> Directory::open(const std::filesystem::path& path) {
  FileDescriptor fd(open_retrying(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return open_error(path.string(), errno);
  return Directory(std::move(fd), path);
}

Result<File> File::open(const std::filesystem::path& path) {
  FileDescriptor fd(open_retrying(AT_FDCWD, path.c_str(), kOpenFlags));
  if (!fd.valid()) return open_error(path.string(), errno);
  return adopt(std::move(fd), path.string());
}

Result<File> File::open_beneath(const Directory& base, const std::filesystem::path& relative, std::string label) {
  FileDescriptor folder;
  int folder_fd = base.fd();
  for (auto part = relative.begin(); part != relative.end(); ++part) {
    if (part->empty() || *part == "." || *part == ".." || part->is_absolute()) {
      return Error{ErrorCode::kInvalidArgument, std::move(label), "the path must have plain components only"};
    }
    const bool last = std::next(part) == relative.end();
    const int flags = last ? kOpenFlags : O_PATH | O_DIRECTORY | O_CLOEXEC;
    FileDescriptor fd(open_retrying(folder_fd, part->c_str(), flags | O_NOFOLLOW));
    if (!fd.valid()) return open_error(std::move(label), errno);
    if (last) return adopt(std::move(fd), std::move(label));
    folder = std::move(fd);
    folder_fd = folder.get();
  }
  return Error{ErrorCode::kInvalidArgument, std::move(label), "the path is empty"};
}

Result<File> File::adopt(FileDescriptor fd, std::string label) {
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return open_error(std::move(label), errno);
  if (!S_ISREG(facts.st_mode)) {
    return Error{ErrorCode::kIo, std::move(label),
                 S_ISDIR(facts.st_mode) ? "is a folder, not a file" : "is not a regular file"};
  }
  return File(std::move(fd), static_cast<std::uint64_t>(facts.st_size), std::move(label));
}

Status File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  const auto end = checked_add(offset, out.size());
  if (!end || *end > num_bytes_) {
    return Error{
        ErrorCode::kInvalidArgument, label_,
        fmt::format("{} bytes from byte {} on are not inside the file of {} bytes", out.size(), offset, num_bytes_)};
  }
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_.get(), out.data(), std::min(out.size(), kMaxReadBytes), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return Error{ErrorCode::kIo, label_, fmt::format("cannot read at byte {}: {}", offset, system_error_text(errno))};
    }
    if (got == 0) {
      return Error{ErrorCode::kIo, label_,
                   fmt::format("shrank while being read: it had {} bytes when opened, now it ends at byte {}; do not "
                               "change a model that is in use",
                               num_bytes_, offset)};
    }
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Status File::check_size() const {
  struct stat facts{};
  if (::fstat(fd_.get(), &facts) != 0) {
    return Error{ErrorCode::kIo, label_, fmt::format("cannot ask for its size: {}", system_error_text(errno))};
  }
  const auto now = static_cast<std::uint64_t>(facts.st_size);
  if (now >= num_bytes_) return {};
  return Error{
      ErrorCode::kIo, label_,
      fmt::format("shrank from {} to {} bytes while in use; bytes past the new end were read as zeros: open the "
                  "model again",
                  num_bytes_, now)};
}

Result<std::string> read_text(const File& file, std::uint64_t max_bytes) {
  if (file.num_bytes() > max_bytes) {
    return Error{ErrorCode::kMalformed, file.label(),
                 fmt::format("has {} bytes, more than the {} that such a file may have", file.num_bytes(), max_bytes)};
  }
  std::string text(file.num_bytes(), '\0');
  NVFP4_RETURN_IF_ERROR(file.read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const auto file = File::open(path);
  if (!file) return file.error();
  return read_text(*file, max_bytes);
}

std::string quote_name(std::string_view name) {
  constexpr std::size_t kMaxShown = 200;
  std::size_t num_shown = std::min(name.size(), kMaxShown);
  // Not in the middle of a UTF-8 sequence.
  while (num_shown > 0 && num_shown < name.size() && (static_cast<unsigned char>(name[num_shown]) & 0xc0) == 0x80)
    --num_shown;
  std::string out = "\"";
  for (const char c : name.substr(0, num_shown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  out += '"';
  if (name.size() > num_shown) out += fmt::format(" (and {} more bytes)", name.size() - num_shown);
  return out;
}

std::string system_error_text(int error_number) { return std::generic_category().message(error_number); }

}  // namespace nvfp4
