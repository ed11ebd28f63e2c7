#include "layouts/scale_128x4.h"

#include <algorithm>
#include <cassert>

namespace nvfp4 {

void Scale128x4::swizzle(std::span<const std::uint8_t> linear, std::span<std::uint8_t> swizzled) const {
  assert(linear.size() == rows * cols && swizzled.size() == size_bytes());
  std::fill(swizzled.begin(), swizzled.end(), std::uint8_t{0});
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t col = 0; col < cols; ++col) swizzled[offset(row, col)] = linear[row * cols + col];
  }
}

void Scale128x4::unswizzle(std::span<const std::uint8_t> swizzled, std::span<std::uint8_t> linear) const {
  assert(linear.size() == rows * cols && swizzled.size() == size_bytes());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t col = 0; col < cols; ++col) linear[row * cols + col] = swizzled[offset(row, col)];
  }
}

}  // namespace nvfp4
