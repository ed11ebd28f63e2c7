// Names of the functions of this program, also of those that no other file sees, and where its local variables lie.
#pragma once

#include <cstddef>
#include <string>

namespace nvfp4::emulation {

// The function that the code at this address belongs to, without its parameters; "?" where none is known.
[[nodiscard]] std::string function_at(const void* code);

// A variable `static T x` of a function, none of the emulation's own.
struct StaticVariable {
  std::byte* first = nullptr;  // null: none lies there
  std::size_t num_bytes = 0;
};
[[nodiscard]] StaticVariable static_variable_at(const void* address);

}  // namespace nvfp4::emulation
