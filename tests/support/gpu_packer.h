// What brings weights into a layout of the GPU kernels.
#pragma once

#include "kernels/cuda_shared/block_scaled_pack.h"
#include "kernels/cuda_shared/fragment_pack.h"

namespace nvfp4::support {

inline const kernels::FragmentPacker& packer_of(kernels::DeviceWeightLayout layout) {
  return layout == kernels::DeviceWeightLayout::kBlockScaled16x64 ? kernels::cuda_block_scaled_packer()
                                                                  : kernels::cuda_fragment_packer();
}

}  // namespace nvfp4::support
