// NVFP4_HD marks functions that the host and CUDA devices share.
#pragma once

#if defined(__CUDACC__)
#define NVFP4_HD __host__ __device__
#else
#define NVFP4_HD
#endif
