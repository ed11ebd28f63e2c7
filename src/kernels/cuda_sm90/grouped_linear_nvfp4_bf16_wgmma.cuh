// The two products of a layer of experts, for many tokens; each activation function is compiled in a file of its own.
#pragma once

#include "kernels/cuda_sm90/grouped_linear_nvfp4_bf16_wgmma_down.cuh"
#include "kernels/cuda_sm90/grouped_linear_nvfp4_bf16_wgmma_up.cuh"
#include "kernels/cuda_sm90/wgmma_launch.cuh"

namespace nvfp4::kernels::cuda_sm90 {

NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kSilu, false>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kSilu, true>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kGeluTanh, false>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kGeluTanh, true>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kSwigluOai, false>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kSwigluOai, true>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kRelu2, false>);
NVFP4_GROUPED_WGMMA(extern, ExpertUp<ExpertFunction::kRelu2, true>);
NVFP4_GROUPED_WGMMA(extern, ExpertDown<ColumnImage>);
NVFP4_GROUPED_WGMMA(extern, ExpertDown<RowSource>);

}  // namespace nvfp4::kernels::cuda_sm90
