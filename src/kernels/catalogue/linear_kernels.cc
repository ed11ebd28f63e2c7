// By itself, so that a program may have a list of its own: tests plant kernels in it.
#include "kernels/catalogue/linear_catalogue.h"

namespace nvfp4::kernels {

std::span<const LinearKernel> linear_kernels() { return built_in_linear_kernels(); }

}  // namespace nvfp4::kernels
