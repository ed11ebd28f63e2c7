#include "layouts/tile_16x64.h"

#include <algorithm>
#include <cstring>

namespace nvfp4 {
namespace {

constexpr std::array<std::uint8_t, 256> make_tile_scales() {
  std::array<std::uint8_t, 256> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = encode_tile_scale(static_cast<std::uint8_t>(i));
  return out;
}
constexpr std::array<std::uint8_t, 256> kTileScales = make_tile_scales();

}  // namespace

void pack_row_group(const std::uint8_t* codes, const std::uint8_t* scales, std::uint64_t num_rows, std::uint64_t cols,
                    std::uint64_t block_size, std::uint8_t* out) {
  using T = Tile16x64;
  const std::uint64_t row_bytes = cols / 2;
  const std::uint64_t row_scales = cols / block_size;
  for (std::uint64_t tile = 0; tile < T::num_tiles(cols); ++tile, out += T::kBytes) {
    const std::uint64_t col = tile * T::kCols;
    const std::uint64_t num_cols = std::min(T::kCols, cols - col);
    if (num_rows < T::kRows || num_cols < T::kCols) std::memset(out, 0, T::kBytes);
    for (std::uint64_t row = 0; row < num_rows; ++row) {
      const std::uint8_t* const row_codes = codes + row * row_bytes + col / 2;
      for (std::uint64_t slice = 0; slice < num_cols / T::kSliceCols; ++slice) {
        std::memcpy(out + T::kCodesOffset + (slice * T::kRows + row) * 4, row_codes + slice * 4, 4);
      }
      for (std::uint64_t block = 0; block < num_cols / T::kBlockCols; ++block) {
        out[block * T::kRows + row] =
            kTileScales[scales[row * row_scales + (col + block * T::kBlockCols) / block_size]];
      }
    }
  }
}

}  // namespace nvfp4
