// FC2 of experts.
#include "kernels/cuda_sm80/moe_fragments.cuh"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

struct DownJob {
  ExpertDown down;

  [[nodiscard]] __host__ __device__ const ExpertProduct& product() const { return down.product; }
  [[nodiscard]] ExpertProduct& product() { return down.product; }

  [[nodiscard]] __device__ __forceinline__ float terms(const ExpertPlace& place, std::uint32_t /*group*/) const {
    return down.scale2[place.expert] * kFragmentUnit;
  }
  __device__ __forceinline__ void put(const ExpertPlace& place, float scale, std::uint32_t group, std::uint32_t column,
                                      const float (&sums)[4]) const {
    const std::uint32_t row = column * 8 + threadIdx.x % 4 * 2;
    const float2 factors = factors_of(down.product, place, column);
    const std::size_t row_size = std::size_t{down.product.row_groups} * 16;
    float* const to =
        down.partial + (place.first_row + row) * row_size + (place.first_group + group) * 16 + threadIdx.x % 32 / 4;
    if (row < place.num_rows) {
      to[0] = sums[0] * (scale * factors.x);
      to[8] = sums[2] * (scale * factors.x);
    }
    if (row + 1 < place.num_rows) {
      to[row_size] = sums[1] * (scale * factors.y);
      to[row_size + 8] = sums[3] * (scale * factors.y);
    }
  }
};

}  // namespace

Status allow_expert_down(const char* name) { return ExpertLaunch<DownJob>::allow(name); }
Status run_expert_down(const char* name, std::uint32_t shape_idx, const ExpertDown& down, DeviceStream stream) {
  return ExpertLaunch<DownJob>::run(name, shape_idx, DownJob{down}, stream);
}

}  // namespace nvfp4::kernels::cuda_sm80
