// Of builds without CUDA.
#include "kernels/catalogue/device_catalogue.h"

namespace nvfp4::kernels {

std::span<const DeviceMoeKernel> device_moe_kernels() { return {}; }
std::span<const DeviceLinearKernel> device_linear_kernels() { return {}; }
std::span<const DeviceRouterKernel> device_router_kernels() { return {}; }
std::span<const DeviceReadLoop> device_read_loops() { return {}; }
std::span<const DeviceMultiplyLoop> device_multiply_loops() { return {}; }
const FragmentPacker* device_fragment_packer() { return nullptr; }

}  // namespace nvfp4::kernels
