// Rows of activations in NVFP4 as kernels copy them to shared memory: chunks of 256 columns, of each row 144 bytes.
//
//   [chunks][rows][128 bytes of codes, low nibble = even column; 16 bytes of scales, E4M3]
//
// A chunk of neighbouring rows is one copy, of any row another one. 144 bytes are 9 times 16: rows of matrices that
// lanes load from shared memory lie in different banks. Columns that are missing to a multiple of 64 have scale 0; what
// lies beyond them is not read.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace nvfp4 {

struct QuantizedRows256 {
  static constexpr std::uint64_t kCols = 256;
  static constexpr std::uint64_t kBlockCols = 16;
  static constexpr std::uint64_t kScalesOffset = kCols / 2;
  static constexpr std::uint64_t kBytes = kScalesOffset + kCols / kBlockCols;  // of a row in a chunk
  static constexpr std::uint64_t kGrainCols = 64;                              // that an instruction takes

  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_chunks(std::uint64_t cols) {
    return (cols + kCols - 1) / kCols;
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t num_bytes(std::uint64_t rows, std::uint64_t cols) {
    return num_chunks(cols) * rows * kBytes;
  }
  // Of num_rows rows: where the byte with the code of (row, col) lies, and its scale.
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t code_offset(std::uint64_t num_rows, std::uint64_t row,
                                                                    std::uint64_t col) {
    return (col / kCols * num_rows + row) * kBytes + col % kCols / 2;
  }
  [[nodiscard]] NVFP4_HD static constexpr std::uint64_t scale_offset(std::uint64_t num_rows, std::uint64_t row,
                                                                     std::uint64_t col) {
    return (col / kCols * num_rows + row) * kBytes + kScalesOffset + col % kCols / kBlockCols;
  }
};

}  // namespace nvfp4
