// Which shape multiplies a layer, for a number of tokens, and in how many parts of K.
#pragma once

#include <cstdint>

#include "kernels/cuda_sm120/fp4_shapes.h"

namespace nvfp4::kernels::cuda_sm120 {

struct Fp4Layer {
  std::uint32_t out_features = 0;
  std::uint32_t in_features = 0;
  std::uint32_t num_sms = 1;
  bool batch_invariant = false;  // shapes whose sums have one order, and no parts
};

struct Fp4Choice {
  std::uint32_t shape_idx = 0;
  std::uint32_t num_tiles = 1;
  std::uint32_t num_splits = 1;
  std::uint32_t chunks_per_split = 0;

  [[nodiscard]] constexpr const Fp4Shape& shape() const { return kFp4Shapes[shape_idx]; }
  [[nodiscard]] constexpr std::uint64_t part_floats() const {
    return num_splits == 1 ? 0 : std::uint64_t{num_tiles} * num_splits * shape().rows() * shape().tokens();
  }
};

// num_tokens is above 0.
[[nodiscard]] Fp4Choice choose_fp4(const Fp4Layer& layer, std::uint32_t num_tokens);

// The most that choose_fp4() asks for with up to max_tokens.
struct Fp4Needs {
  std::uint32_t num_arrivals = 0;
  std::uint64_t part_floats = 0;
};
[[nodiscard]] Fp4Needs fp4_needs(const Fp4Layer& layer, std::uint32_t max_tokens);

// Of experts, which have so many rows on average.
[[nodiscard]] std::uint32_t choose_expert_shape(std::uint32_t num_rows, std::uint32_t num_experts,
                                                bool batch_invariant);

}  // namespace nvfp4::kernels::cuda_sm120
