#include "apps/npy.h"

#include <fmt/format.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

namespace nvfp4::apps {
namespace {

static_assert(std::endian::native == std::endian::little, "the header below says little-endian");

std::filesystem::path partial(const std::filesystem::path& path) { return path.string() + ".partial"; }

// Magic, version, header length; the header is padded so that the data starts at a multiple of 64.
std::string npy_header(std::span<const std::uint64_t> shape) {
  std::string dims;
  for (std::uint64_t dim : shape) dims += fmt::format("{}, ", dim);
  if (shape.size() > 1) dims.resize(dims.size() - 2);
  if (shape.size() == 1) dims.resize(dims.size() - 1);
  std::string text = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims);
  constexpr std::size_t kPrefix = 10;
  text.append((64 - (kPrefix + text.size() + 1) % 64) % 64, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xFFU);
  header += static_cast<char>(text.size() >> 8U);
  return header + text;
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::filesystem::path& path, std::span<const std::uint64_t> shape) {
  // close() puts a new file in the place of the old one: that must never be a folder or a device.
  if (std::error_code ignored; exists(path, ignored) && !is_regular_file(path, ignored)) {
    return Error{ErrorCode::kInvalidArgument, path.string(), "is not a regular file; give another name"};
  }
  NpyWriter writer(std::fopen(partial(path).c_str(), "wb"), path);
  if (writer.file_ == nullptr) return writer.failed("cannot be created");
  const std::string header = npy_header(shape);
  if (std::fwrite(header.data(), 1, header.size(), writer.file_) != header.size())
    return writer.failed("cannot be written");
  return writer;
}

NpyWriter::NpyWriter(NpyWriter&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)), path_(std::move(other.path_)) {}

NpyWriter::~NpyWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(partial(path_), ignored);
}

Error NpyWriter::failed(const char* what) const {
  return {ErrorCode::kIo, path_.string(), fmt::format("{}: {}", what, std::strerror(errno))};
}

Status NpyWriter::append(std::span<const float> values) {
  if (std::fwrite(values.data(), sizeof(float), values.size(), file_) != values.size())
    return failed("cannot be written");
  return {};
}

Status NpyWriter::close() {
  if (std::fclose(std::exchange(file_, nullptr)) != 0) return failed("cannot be written");
  std::error_code error;
  std::filesystem::rename(partial(path_), path_, error);
  if (error)
    return Error{ErrorCode::kIo, path_.string(),
                 fmt::format("cannot be renamed from {}: {}", partial(path_).string(), error.message())};
  return {};
}

}  // namespace nvfp4::apps
