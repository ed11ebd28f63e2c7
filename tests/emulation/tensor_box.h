// A box of a tensor, as the copy engine brings it to shared memory: in pieces of 16 bytes.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace nvfp4::emulation {

struct TensorBox {
  static constexpr std::uint32_t kPieceBytes = 16;

  CUtensorMap map{};                     // rank 0: none
  std::array<std::uint32_t, 3> first{};  // coordinates, innermost first

  [[nodiscard]] std::uint32_t num_bytes() const { return map.box[0] * map.box[1] * map.box[2] * map.element_bytes; }
  [[nodiscard]] std::uint32_t row_bytes() const { return map.box[0] * map.element_bytes; }

  // visit(offset in the box as it lies in shared memory, where the piece is or null beyond the tensor). Sizes of
  // tensors are whole pieces.
  template <class Visit>
  void for_each_piece(const Visit& visit) const {
    for (std::uint32_t at = 0; at < num_bytes(); at += kPieceBytes) {
      const std::uint32_t row = at / row_bytes();
      const std::uint32_t swizzled = map.is_swizzled ? at ^ (at / 128 % 8 * kPieceBytes) : at;
      visit(swizzled, piece(at % row_bytes() / map.element_bytes, row % map.box[1], row / map.box[1]));
    }
  }

 private:
  [[nodiscard]] const std::byte* piece(std::uint32_t x, std::uint32_t y, std::uint32_t z) const {
    const std::array<std::uint64_t, 3> place = {std::uint64_t{first[0]} + x, std::uint64_t{first[1]} + y,
                                                std::uint64_t{first[2]} + z};
    const std::byte* from = map.data;
    for (std::size_t i = 0; i < place.size(); ++i) {
      if (place[i] >= map.sizes[i]) return nullptr;
      from += place[i] * map.strides[i];
    }
    return from;
  }
};

}  // namespace nvfp4::emulation
