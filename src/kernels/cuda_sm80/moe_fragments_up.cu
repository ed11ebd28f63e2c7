// FC1 of experts. A lane has, of a row group, rows g and g + 8: gate and up of the same i, or two rows of up.
#include "kernels/cuda_shared/expert_function.cuh"
#include "kernels/cuda_sm80/bf16_pairs.cuh"
#include "kernels/cuda_sm80/moe_fragments.cuh"

namespace nvfp4::kernels::cuda_sm80 {
namespace {

struct UpJob {
  ExpertUp up;

  [[nodiscard]] __host__ __device__ const ExpertProduct& product() const { return up.product; }
  [[nodiscard]] ExpertProduct& product() { return up.product; }

  struct Terms {
    float gate, up;
  };
  [[nodiscard]] __device__ __forceinline__ Terms terms(const ExpertPlace& place, std::uint32_t /*group*/) const {
    return {up.gate_scale2 == nullptr ? 0.0F : up.gate_scale2[place.expert] * kFragmentUnit,
            up.up_scale2[place.expert] * kFragmentUnit};
  }
  __device__ __forceinline__ void put(const ExpertPlace& place, const Terms& terms, std::uint32_t group,
                                      std::uint32_t column, const float (&sums)[4]) const {
    const ExpertFunctionParameters function{up.function, up.alpha, up.beta, up.limit};
    const float2 factors = factors_of(up.product, place, column);
    const std::uint32_t row_group = place.first_group + group;
    if (up.gate_scale2 != nullptr) {
      put_8(place, row_group * 8, column,
            apply_gate(function, sums[0] * (terms.gate * factors.x), sums[2] * (terms.up * factors.x)),
            apply_gate(function, sums[1] * (terms.gate * factors.y), sums[3] * (terms.up * factors.y)));
      return;
    }
    put_8(place, row_group * 16, column, apply_gate(function, 0.0F, sums[0] * (terms.up * factors.x)),
          apply_gate(function, 0.0F, sums[1] * (terms.up * factors.y)));
    put_8(place, row_group * 16 + 8, column, apply_gate(function, 0.0F, sums[2] * (terms.up * factors.x)),
          apply_gate(function, 0.0F, sums[3] * (terms.up * factors.y)));
  }

 private:
  // 8 numbers of h from `first` on of 8 rows: a lane has number g of rows 2t and 2t + 1 of the column.
  __device__ __forceinline__ void put_8(const ExpertPlace& place, std::uint32_t first, std::uint32_t column, float left,
                                        float right) const {
    const std::uint32_t g = threadIdx.x % 32 / 4;
    const std::uint32_t two_t = threadIdx.x % 4 * 2;
    if (up.h_f32 != nullptr) {
      put_f32(place, column * 8 + two_t, first + g, left);
      put_f32(place, column * 8 + two_t + 1, first + g, right);
      return;
    }
    const std::uint32_t pair = transpose_pairs(pack_pair(left, right));
    const std::uint32_t row = column * 8 + g;
    if (row >= place.num_rows) return;
    Bf16Bits* const to = up.h + std::size_t{place.first_row + row} * up.intermediate + first + two_t;
    *reinterpret_cast<std::uint32_t*>(to) = pair;
  }
  __device__ __forceinline__ void put_f32(const ExpertPlace& place, std::uint32_t row, std::uint32_t i,
                                          float value) const {
    if (row >= place.num_rows) return;
    const std::uint32_t sorted = place.first_row + row;
    const std::uint32_t to = up.pair_of_h == nullptr ? sorted : static_cast<std::uint32_t>(up.pair_of_h[sorted]);
    up.h_f32[std::size_t{to} * up.intermediate + i] = value;
  }
};

}  // namespace

Status allow_expert_up(const char* name) { return ExpertLaunch<UpJob>::allow(name); }
Status run_expert_up(const char* name, std::uint32_t shape_idx, const ExpertUp& up, DeviceStream stream) {
  return ExpertLaunch<UpJob>::run(name, shape_idx, UpJob{up}, stream);
}

}  // namespace nvfp4::kernels::cuda_sm80
