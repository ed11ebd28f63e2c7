// The shared memory of a block: the dynamic part, of exactly its size, and the kernels' variables, which are static
// ones for the compiler of the host. Addresses of shared memory are offsets in the first, or, from kStaticAt on, from
// the first byte of the program's variables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "emulation/program_symbols.h"
#include "emulation/shadow.h"

namespace nvfp4::emulation {

class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Of a new block; every byte 0xA5, also of the variables that an earlier block touched.
  void begin_block(std::size_t dynamic_bytes);
  // Variables lie where the compiler put them, for all blocks: those of a block that others interrupt are kept aside.
  void enter();
  void leave();

  [[nodiscard]] std::byte* dynamic() const { return memory_ + kDynamicAt; }

  [[nodiscard]] bool has(const void* address) { return is_dynamic(address) || find_variable(address) != nullptr; }
  [[nodiscard]] std::uint32_t address_of(const void* pointer) const;
  [[nodiscard]] std::byte* at(std::uint32_t address) const;
  // Of a block that has not entered; is_inside() must hold.
  [[nodiscard]] std::uint32_t load_word_of_other(std::uint32_t address);
  // Whether these bytes belong to one and the same variable, or to the dynamic part.
  [[nodiscard]] bool is_inside(std::uint32_t address, std::size_t num_bytes);

  // Shadow::visit() of bytes that are inside; with addresses.
  template <class Visit>
  void visit(std::uint32_t address, std::size_t num_bytes, const Visit& visit_place) {
    const std::uint32_t base = address < kStaticAt ? 0 : kStaticAt;
    (base == 0 ? of_dynamic_ : of_static_)
        .visit(address - base, num_bytes, generation_, generation_ - 1,
               [&](ShadowPlace& place, std::size_t offset) { return visit_place(place, base + offset); });
  }
  // Of the dynamic part and of the variables that the block touched.
  [[nodiscard]] std::size_t used_bytes() const { return used_bytes_; }

 private:
  static constexpr std::size_t kBytes = std::size_t{256} << 10U;
  static constexpr std::uint32_t kDynamicAt = 1024;
  static constexpr std::uint32_t kStaticAt = 1U << 28U;

  struct Variable {
    StaticVariable place;
    std::uint64_t generation = 0;  // of the last block that touched it
    std::vector<std::byte> kept;   // while another block has entered
  };
  [[nodiscard]] bool is_dynamic(const void* address) const {
    const auto* const place = static_cast<const std::byte*>(address);
    return place >= memory_ && place < memory_ + kBytes;
  }
  const Variable* find_variable(const void* address);
  Variable* known_variable(const std::byte* place);

  std::byte* memory_;
  std::size_t dynamic_bytes_ = 0;
  std::size_t used_bytes_ = 0;
  std::vector<Variable> variables_;  // that any block touched
  std::size_t last_variable_ = 0;
  Shadow of_dynamic_{kBytes};
  Shadow of_static_;
  std::uint64_t generation_ = 0;
};

}  // namespace nvfp4::emulation
