#include <cuda_runtime.h>

#include <array>
#include <string>

#include "kernels/cuda_sm90/tensor_maps.h"
#include "layouts/fragment_16x64.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

// The driver's function, found at run time: nothing links against the driver.
EncodeTiled find_encode_tiled() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  constexpr unsigned int kVersion = 12000;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, kVersion, cudaEnableDefault, &result) !=
          cudaSuccess ||
      result != cudaDriverEntryPointSuccess) {
    return nullptr;
  }
  return reinterpret_cast<EncodeTiled>(found);
}

struct TensorBox {
  CUtensorMapDataType type;
  std::uint32_t rank;
  std::array<cuuint64_t, 3> sizes;    // innermost first
  std::array<cuuint64_t, 2> strides;  // bytes, from the second dimension on
  std::array<cuuint32_t, 3> box;
  CUtensorMapSwizzle swizzle;
};

Status encode(const void* data, const TensorBox& tensor, CUtensorMap& map) {
  static const EncodeTiled encode_tiled = find_encode_tiled();
  constexpr std::array<cuuint32_t, 3> kDense = {1, 1, 1};
  if (encode_tiled == nullptr) {
    return Error{ErrorCode::kUnsupported, "tensor map", "the driver has no cuTensorMapEncodeTiled; it is too old"};
  }
  const CUresult result =
      encode_tiled(&map, tensor.type, tensor.rank, const_cast<void*>(data), tensor.sizes.data(), tensor.strides.data(),
                   tensor.box.data(), kDense.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, tensor.swizzle,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result == CUDA_SUCCESS) return {};
  return Error{ErrorCode::kUnsupported, "tensor map",
               "the driver refused it (error " + std::to_string(static_cast<int>(result)) +
                   "); the data must be aligned to 16 bytes"};
}

}  // namespace

Status weight_map(const std::uint8_t* weights, std::uint32_t num_matrices, std::uint32_t row_groups,
                  std::uint32_t k_tiles, std::uint32_t box_groups, std::uint32_t box_tiles, CUtensorMap& map) {
  constexpr std::uint64_t kWords = Fragment16x64::kBytes / 8;  // a box is at most 256 elements wide
  const std::uint64_t row_bytes = k_tiles * Fragment16x64::kBytes;
  return encode(weights,
                {CU_TENSOR_MAP_DATA_TYPE_UINT64,
                 3,
                 {k_tiles * kWords, row_groups, num_matrices},
                 {row_bytes, row_bytes * row_groups},
                 {static_cast<cuuint32_t>(box_tiles * kWords), box_groups, 1},
                 CU_TENSOR_MAP_SWIZZLE_NONE},
                map);
}

Status matrix_map(const std::uint16_t* matrix, std::uint32_t rows, std::uint32_t in_features, std::uint32_t box_rows,
                  CUtensorMap& map) {
  return encode(matrix,
                {CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                 2,
                 {in_features, rows, 1},
                 {std::uint64_t{in_features} * 2, 0},
                 {64, box_rows, 1},
                 CU_TENSOR_MAP_SWIZZLE_128B},
                map);
}

}  // namespace nvfp4::kernels::cuda_sm90
