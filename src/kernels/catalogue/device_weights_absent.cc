// Of builds without CUDA. A file of its own: a test of the emulated device has its own of these.
#include "kernels/catalogue/device_catalogue.h"

namespace nvfp4::kernels {

const FragmentPacker* device_packer(DeviceWeightLayout /*layout*/) { return nullptr; }
const DeviceRandom* device_random() { return nullptr; }

}  // namespace nvfp4::kernels
