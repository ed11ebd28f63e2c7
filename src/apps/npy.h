// NumPy's .npy file format, version 1.0: float32, C order.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>

#include "nvfp4/result.h"

namespace nvfp4::apps {

// Writes to PATH.partial and renames at close(), so that a failed run leaves nothing that looks complete.
class NpyWriter {
 public:
  [[nodiscard]] static Result<NpyWriter> create(const std::filesystem::path& path,
                                                std::span<const std::uint64_t> shape);

  NpyWriter(NpyWriter&& other) noexcept;
  NpyWriter& operator=(NpyWriter&&) = delete;
  ~NpyWriter();

  [[nodiscard]] Status append(std::span<const float> values);
  [[nodiscard]] Status close();

 private:
  NpyWriter(std::FILE* file, std::filesystem::path path) : file_(file), path_(std::move(path)) {}
  [[nodiscard]] Error failed(const char* what) const;

  std::FILE* file_ = nullptr;
  std::filesystem::path path_;
};

}  // namespace nvfp4::apps
