// Brings NVFP4 matrices on a GPU from the order of the file into a layout of the GPU kernels, and back, with the bytes
// of layouts/fragment_16x64.h or layouts/block_scaled_16x64.h. The sizes of both are the same.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_plan.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

// One matrix as the file has it, in device memory aligned to 8 bytes.
template <class Byte>
struct RowMajorMatrix {
  Byte* codes = nullptr;   // [num_matrices, num_rows, cols / 2]
  Byte* scales = nullptr;  // [num_matrices, num_rows, cols / block_size] E4M3 from 0 to 448
};

// Consecutive matrices of one size (experts), or consecutive rows of one. A piece of a matrix begins at a row group.
struct FragmentPieces {
  std::uint64_t num_matrices = 1;
  std::uint64_t num_rows = 0;     // of each; the last row group of each is filled with zeros
  std::uint64_t cols = 0;         // a multiple of 16
  std::uint64_t block_size = 16;  // a multiple of 16 that divides cols
  bool is_pair = false;           // interleaved: 8 rows of the first matrix, then the same 8 of the second
};

// second: null pointers without a pair. packed [num_matrices, row groups, tiles, 576], aligned to 16 bytes.
struct FragmentPacker {
  Status (*pack)(const FragmentPieces& pieces, const RowMajorMatrix<const std::uint8_t>& first,
                 const RowMajorMatrix<const std::uint8_t>& second, std::uint8_t* packed, DeviceStream stream);
  Status (*unpack)(const FragmentPieces& pieces, const std::uint8_t* packed, const RowMajorMatrix<std::uint8_t>& first,
                   const RowMajorMatrix<std::uint8_t>& second, DeviceStream stream);
  DeviceWeightLayout layout = DeviceWeightLayout::kFragment16x64;
};

}  // namespace nvfp4::kernels
