// A random linear weight in the layout of a kernel.
#pragma once

#include <algorithm>
#include <vector>

#include "layouts/tile_16x64.h"
#include "support/random_linear.h"

namespace nvfp4::support {

class PackedLinear {
 public:
  PackedLinear(const RandomLinear& linear, kernels::WeightLayout layout) : view_(linear.view()) {
    if (layout == kernels::WeightLayout::kRowMajor) return;
    using T = Tile16x64;
    const std::uint64_t rows = view_.out_features;
    const std::uint64_t cols = view_.in_features;
    constexpr std::size_t kAlignment = 64;
    tiles_.resize(view_.num_experts * T::num_bytes(rows, cols) + kAlignment);
    std::uint8_t* out = tiles_.data() + (kAlignment - reinterpret_cast<std::size_t>(tiles_.data()) % kAlignment);
    view_.layout = layout;
    view_.elements = reinterpret_cast<const std::byte*>(out);
    view_.block_scales = nullptr;
    for (std::uint32_t e = 0; e < view_.num_experts; ++e) {
      for (std::uint64_t row = 0; row < rows; row += T::kRows, out += T::num_bytes(T::kRows, cols)) {
        const std::uint64_t at = (e * rows + row) * cols;
        pack_row_group(reinterpret_cast<const std::uint8_t*>(linear.elements.data()) + at / 2,
                       linear.block_scales.data() + at / view_.block_size, std::min(T::kRows, rows - row), cols,
                       view_.block_size, out);
      }
    }
  }
  PackedLinear(const PackedLinear&) = delete;
  PackedLinear& operator=(const PackedLinear&) = delete;
  [[nodiscard]] const kernels::LinearWeight& view() const { return view_; }

 private:
  kernels::LinearWeight view_;
  std::vector<std::uint8_t> tiles_;
};

}  // namespace nvfp4::support
