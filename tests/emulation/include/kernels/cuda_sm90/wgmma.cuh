// The header of the same name, for the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulation/block.h"

namespace nvfp4::kernels::cuda_sm90 {

inline std::uint32_t shared_columns(std::uint32_t address) { return address >> 4; }
inline constexpr std::uint32_t kNextRows = 16 * 2 >> 4;

inline void begin_products() {}
inline void commit_products() {
  emulation::Block& block = *emulation::Block::running();
  block.products.end_group(block);
}
template <int kPending>
void wait_products() {
  emulation::Block& block = *emulation::Block::running();
  block.products.wait_for_groups(block, kPending);
}

template <std::uint32_t kColumns, std::size_t kSums>
void start_product(float (&d)[kSums], const std::uint32_t (&a)[4], std::uint32_t columns) {
  static_assert(kColumns % 8 == 0 && kColumns <= 2 * kSums);
  emulation::Block& block = *emulation::Block::running();
  block.products.start(block, {d, a, columns << 4, kColumns, __builtin_return_address(0)});
}

template <std::uint32_t kRegisters>
void take_registers() {}
template <std::uint32_t kRegisters>
void give_registers() {}

}  // namespace nvfp4::kernels::cuda_sm90
