// The header of the same name, for the host.
#pragma once

#include <cstdint>

#include "emulation/block.h"

namespace nvfp4::kernels {

inline void copy_bulk(std::uint32_t to, const void* from, std::uint32_t num_bytes, std::uint32_t barrier) {
  emulation::Block& block = *emulation::Block::running();
  block.copies.copy_bulk(block, to, from, num_bytes, barrier);
}
inline void copy_bulk_once(std::uint32_t to, const void* from, std::uint32_t num_bytes, std::uint32_t barrier) {
  copy_bulk(to, from, num_bytes, barrier);
}
inline void copy_box(std::uint32_t to, const void* map, std::uint32_t x, std::uint32_t y, std::uint32_t z,
                     std::uint32_t barrier) {
  emulation::Block& block = *emulation::Block::running();
  block.copies.copy_box(block, to, {*static_cast<const CUtensorMap*>(map), {x, y, z}}, barrier);
}
inline void copy_box(std::uint32_t to, const void* map, std::uint32_t x, std::uint32_t y, std::uint32_t barrier) {
  copy_box(to, map, x, y, 0, barrier);
}
inline void copy_box_once(std::uint32_t to, const void* map, std::uint32_t x, std::uint32_t y, std::uint32_t z,
                          std::uint32_t barrier) {
  copy_box(to, map, x, y, z, barrier);
}
inline void copy_16_bytes(std::uint32_t to, const void* from, std::uint32_t num_bytes) {
  emulation::Block& block = *emulation::Block::running();
  block.copies.copy(block, to, from, num_bytes);
}
inline void copy_16_bytes(std::uint32_t to, const std::uint16_t* from, std::uint32_t offset, std::uint32_t num_bytes) {
  copy_16_bytes(to, from + offset, num_bytes);
}
inline void copy_16_bytes(std::uint32_t to, const void* from) { copy_16_bytes(to, from, 16); }
inline void copy_16_bytes_once(std::uint32_t to, const void* from) { copy_16_bytes(to, from); }
inline void arrive_when_copied(std::uint32_t barrier) {
  emulation::Block& block = *emulation::Block::running();
  block.copies.arrive_when_copied(block, barrier);
}
inline void publish_to_async_proxy() {}
inline void end_copies() {
  emulation::Block& block = *emulation::Block::running();
  block.copies.end_group(block);
}
template <int kNewest>
void wait_for_copies() {
  emulation::Block& block = *emulation::Block::running();
  block.copies.wait_for_groups(block, kNewest);
}
inline void wait_for_all_copies() {
  end_copies();
  wait_for_copies<0>();
}

}  // namespace nvfp4::kernels
