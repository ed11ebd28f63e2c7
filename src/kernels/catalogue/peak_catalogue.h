// The loops that measure ceilings: for each purpose, the best that an instruction set allows.
#pragma once

#include <span>

#include "kernels/contract/peak_loop.h"

namespace nvfp4::kernels {

// All of this build, best first.
[[nodiscard]] std::span<const MultiplyLoop> multiply_loops();
[[nodiscard]] std::span<const ReadLoop> read_loops();

// Null when the instruction set has none: only kBF16 can be missing.
[[nodiscard]] const MultiplyLoop* find_multiply_loop(Multiply kind, InstructionSet instruction_set);
[[nodiscard]] const ReadLoop& find_read_loop(InstructionSet instruction_set);

}  // namespace nvfp4::kernels
