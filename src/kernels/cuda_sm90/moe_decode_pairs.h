// Pairs whose rows differ between the experts of a token, for their rounding before FC1.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/cuda_sm90/moe_decode_chunks.cuh"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

// pair_of_row[p] = p, or -1 where the pair's expert is not here.
[[nodiscard]] Status list_pairs(const DecodePairs& pairs, std::int32_t* pair_of_row, DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm90
