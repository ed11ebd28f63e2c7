// What an AVX2 processor does at most (kernels/contract/peak_loop.h).
#pragma once

#include <span>

#include "kernels/contract/peak_loop.h"

namespace nvfp4::kernels::cpu_avx2 {

[[nodiscard]] std::span<const MultiplyLoop> multiply_loops();
[[nodiscard]] std::span<const ReadLoop> read_loops();

}  // namespace nvfp4::kernels::cpu_avx2
