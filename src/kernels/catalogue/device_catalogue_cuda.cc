// Of builds with CUDA: one line for each kernel, best first.
#include <vector>

#include "kernels/catalogue/device_catalogue.h"
#include "kernels/cuda_shared/fragment_pack.h"
#include "kernels/cuda_shared/peak_read.h"
#include "kernels/cuda_shared/route_experts.h"
#include "kernels/cuda_sm120/linear_nvfp4_nvfp4_mma.h"
#include "kernels/cuda_sm120/moe_nvfp4_nvfp4_mma.h"
#include "kernels/cuda_sm80/linear_nvfp4_bf16_mma.h"
#include "kernels/cuda_sm80/linear_rows.h"
#include "kernels/cuda_sm80/moe_nvfp4_bf16_mma.h"
#include "kernels/cuda_sm90/linear_decode.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma.h"
#include "kernels/cuda_sm90/moe_decode.h"
#include "kernels/cuda_sm90/moe_nvfp4_bf16_wgmma.h"
#include "kernels/cuda_sm90/peak_loops.h"

namespace nvfp4::kernels {

std::span<const DeviceMoeKernel> device_moe_kernels() {
  static const std::vector<DeviceMoeKernel> kernels = {
      cuda_sm90::moe_nvfp4_bf16_mma_bulk(),  // few tokens
      cuda_sm90::moe_nvfp4_bf16_wgmma(),
      cuda_sm120::moe_nvfp4_nvfp4_mma(),
      cuda_sm80::moe_nvfp4_bf16_mma(),
  };
  return kernels;
}

std::span<const DeviceLinearKernel> device_linear_kernels() {
  static const std::vector<DeviceLinearKernel> kernels = {
      cuda_sm90::linear_nvfp4_bf16_mma_bulk(),  // few tokens
      cuda_sm90::linear_nvfp4_bf16_wgmma(),    cuda_sm120::linear_nvfp4_nvfp4_mma(), cuda_sm80::linear_nvfp4_bf16_mma(),
      cuda_sm80::linear_fp8_bf16_mma(),        cuda_sm80::linear_bf16_mma(),
  };
  return kernels;
}

std::span<const DeviceRouterKernel> device_router_kernels() {
  static const std::vector<DeviceRouterKernel> kernels = {
      router_topk_warp(),
  };
  return kernels;
}

std::span<const DeviceReadLoop> device_read_loops() {
  static const std::vector<DeviceReadLoop> loops = {
      cuda_sm90::read_by_bulk_copies(),
      read_by_threads(),
  };
  return loops;
}

std::span<const DeviceMultiplyLoop> device_multiply_loops() {
  static const std::vector<DeviceMultiplyLoop> loops = {
      cuda_sm90::multiply_bf16_wgmma(),
  };
  return loops;
}

const FragmentPacker* device_fragment_packer() { return &cuda_fragment_packer(); }

}  // namespace nvfp4::kernels
