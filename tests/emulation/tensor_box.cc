#include "emulation/tensor_box.h"

#include <cuda_runtime_api.h>

#include <string_view>

// As the driver does: what the copy engine could not copy is refused.
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* data,
                                const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* /*element_strides*/, CUtensorMapInterleave /*interleave*/,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion /*promotion*/,
                                CUtensorMapFloatOOBfill /*fill*/) {
  constexpr std::uint32_t kMostElements = 256;  // of a box, in each dimension
  const std::uint32_t element_bytes = type == CU_TENSOR_MAP_DATA_TYPE_UINT64 ? 8 : 2;
  const bool is_swizzled = swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
  *map = {static_cast<const std::byte*>(data),
          rank,
          element_bytes,
          {1, 1, 1},
          {element_bytes, 0, 0},
          {1, 1, 1},
          is_swizzled};
  const std::uint32_t row_bytes = box[0] * element_bytes;
  bool is_allowed = reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && rank >= 2 && rank <= 3 && row_bytes % 16 == 0 &&
                    (!is_swizzled || row_bytes == 128) && sizes[0] * element_bytes % 16 == 0;
  for (std::uint32_t i = 0; is_allowed && i < rank; ++i) {
    map->sizes[i] = sizes[i];
    map->box[i] = box[i];
    if (i > 0) map->strides[i] = strides[i - 1];
    is_allowed = sizes[i] > 0 && box[i] > 0 && box[i] <= kMostElements && (i == 0 || strides[i - 1] % 16 == 0);
  }
  return is_allowed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** found, unsigned /*version*/,
                                             unsigned long long /*flags*/, cudaDriverEntryPointQueryResult* result) {
  if (std::string_view(name) != "cuTensorMapEncodeTiled") return cudaErrorInvalidValue;
  *found = reinterpret_cast<void*>(cuTensorMapEncodeTiled);
  *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
