// What the GPU that code is compiled for has.
#pragma once

// Products and conversions of E2M1 numbers: SM120 and SM121, by name or as a family (compute_120f).
#if defined(__CUDA_ARCH_FEAT_SM120_ALL) || defined(__CUDA_ARCH_FEAT_SM121_ALL) || \
    (defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ >= 1200)
#define NVFP4_HAS_FP4_INSTRUCTIONS 1
#else
#define NVFP4_HAS_FP4_INSTRUCTIONS 0
#endif
