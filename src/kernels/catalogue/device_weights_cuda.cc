// Of builds with CUDA. A file of its own: a test of the emulated device has its own of these.
#include "kernels/catalogue/device_catalogue.h"
#include "kernels/cuda_shared/block_scaled_pack.h"
#include "kernels/cuda_shared/fragment_pack.h"
#include "kernels/cuda_shared/random_fill.h"

namespace nvfp4::kernels {

const FragmentPacker* device_packer(DeviceWeightLayout layout) {
  switch (layout) {
    case DeviceWeightLayout::kFragment16x64:
      return &cuda_fragment_packer();
    case DeviceWeightLayout::kBlockScaled16x64:
      return &cuda_block_scaled_packer();
    case DeviceWeightLayout::kRowMajor:
      break;
  }
  return nullptr;
}
const DeviceRandom* device_random() { return &cuda_random(); }

}  // namespace nvfp4::kernels
