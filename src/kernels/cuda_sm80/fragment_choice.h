// Which shape multiplies NVFP4 weights by a number of tokens.
#pragma once

#include <cstdint>
#include <string>

#include "device/device_caps.h"
#include "kernels/cuda_sm80/fragment_shapes.h"
#include "kernels/cuda_sm80/tile_choice.h"

namespace nvfp4::kernels::cuda_sm80 {

// Why the shapes cannot run, in words; empty when they can.
[[nodiscard]] std::string fragment_refusal(const DeviceCaps& caps, std::uint32_t in_features);

// tiles.kind_idx: into kFragmentShapes. Batch-invariant layers have shapes whose warps do not share K only.
[[nodiscard]] TileChoice choose_fragments(const TileLayer& layer, std::uint32_t num_tokens);
// Of a block.
[[nodiscard]] std::uint32_t fragment_shared_bytes(const TileLayer& layer, const TileChoice& choice);
// The most that choose_fragments() asks for with up to max_tokens.
[[nodiscard]] TileNeeds fragment_needs(const TileLayer& layer, std::uint32_t max_tokens);

// One product of experts.
struct ExpertSizes {
  std::uint32_t num_rows = 0;  // of x, of all experts together
  std::uint32_t num_experts = 1;
  std::uint32_t row_groups = 0;  // of the weight of one expert
  std::uint32_t num_sms = 0;
  bool batch_invariant = false;
};
// Into kFragmentShapes, from kFirstExpertShape on.
[[nodiscard]] std::uint32_t choose_expert_shape(const ExpertSizes& sizes);

}  // namespace nvfp4::kernels::cuda_sm80
