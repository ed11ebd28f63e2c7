// What plain C++ does at most (kernels/contract/peak_loop.h): as good as the compiler makes it.
#pragma once

#include <span>

#include "kernels/contract/peak_loop.h"

namespace nvfp4::kernels::cpu_portable {

[[nodiscard]] std::span<const MultiplyLoop> multiply_loops();
[[nodiscard]] std::span<const ReadLoop> read_loops();

}  // namespace nvfp4::kernels::cpu_portable
