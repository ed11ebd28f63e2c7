// Counts what is sick in raw tensor bytes. Counts of consecutive pieces of one tensor merge in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

struct ScanCounts {
  static constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t num_nan = 0;
  std::uint64_t num_inf = 0;
  std::uint64_t num_negative = 0;   // sign bit set, NaN aside
  std::uint64_t first_nan = kNone;  // index of the element in its tensor
  std::uint64_t first_inf = kNone;
  std::uint64_t first_negative = kNone;
  std::uint64_t num_zero = 0;       // block scales that are +-0; blocks whose codes are all +-0
  std::uint64_t num_subnormal = 0;  // block scales 0x01 .. 0x07
  std::uint64_t num_saturated = 0;  // block scales 0x7E, 448
  bool all_zero = true;             // scan_floats() met nothing but +-0

  void merge(const ScanCounts& other);
  bool operator==(const ScanCounts&) const = default;
};

// E4M3 scales of NVFP4 blocks; `first_idx` is the index of bytes[0] in its tensor.
void scan_block_scales(std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts);

// Whole blocks of packed E2M1 codes along a row; block_size is 16 or 32 codes.
void scan_codes(std::span<const std::byte> bytes, std::uint32_t block_size, ScanCounts& counts);

// One row of blocks packed down the columns: [block_size / 2, width] bytes.
void scan_codes_down(std::span<const std::byte> bytes, std::uint32_t block_size, ScanCounts& counts);

// Elements of a floating-point type, NaN and infinity; other types have neither and count nothing.
void scan_floats(DType dtype, std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts);

// Elements that must not be negative either.
void scan_row_scales(DType dtype, std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts);

}  // namespace nvfp4::checkpoint
