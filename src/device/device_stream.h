// A CUDA stream and a CUDA event without CUDA's headers: the same types as cudaStream_t and cudaEvent_t.
#pragma once

struct CUstream_st;
struct CUevent_st;

namespace nvfp4 {

using DeviceStream = CUstream_st*;
using DeviceEvent = CUevent_st*;

}  // namespace nvfp4
