// The safetensors files of one model directory as one set of named tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

class TensorFiles {
 public:
  // `directory` holds model.safetensors.index.json and its shards, or *.safetensors. Reads the headers only.
  [[nodiscard]] static Result<TensorFiles> open(const std::filesystem::path& directory, LoadMode mode);

  TensorFiles(TensorFiles&&) noexcept;
  TensorFiles& operator=(TensorFiles&&) noexcept;
  ~TensorFiles();

  [[nodiscard]] std::span<const SourceFile> files() const;
  [[nodiscard]] std::span<const StoredTensor> tensors() const;          // in file order; names are unique
  [[nodiscard]] const StoredTensor* find(std::string_view name) const;  // hashed; null when there is none
  [[nodiscard]] std::span<const Finding> conflicts() const;             // index against shards, where no error is due
  [[nodiscard]] std::span<const Finding> ignored() const;               // safetensors files that no index names

  [[nodiscard]] Result<TensorBytes> bytes(const StoredTensor& tensor) const;
  // Bytes [offset, offset + num_bytes) of a tensor.
  [[nodiscard]] Result<TensorBytes> bytes(const StoredTensor& tensor, std::uint64_t offset,
                                          std::uint64_t num_bytes) const;
  [[nodiscard]] Status read(const StoredTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const;
  // Copies bytes [begin, begin + out.size()) of a file by a plain read: many small tensors in one go.
  [[nodiscard]] Status read_range(std::uint32_t file_idx, std::uint64_t begin, std::span<std::byte> out) const;
  [[nodiscard]] Status verify() const;

 private:
  struct State;
  explicit TensorFiles(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nvfp4::checkpoint
