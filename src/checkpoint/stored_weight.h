// One data tensor with its companions, and what their types and shapes alone say about it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "checkpoint/model_config.h"
#include "checkpoint/tensor_files.h"
#include "checkpoint/tensor_role.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

struct StoredWeight {
  const StoredTensor* data = nullptr;
  TensorRole role;
  const StoredTensor* weight_scale = nullptr;
  const StoredTensor* weight_scale_2 = nullptr;
  const StoredTensor* weight_global_scale = nullptr;
  const StoredTensor* input_scale = nullptr;
  const StoredTensor* input_global_scale = nullptr;
  const StoredTensor* pre_quant_scale = nullptr;
};

// Finds the companions of weights. Weights that follow each other in a file have companions that follow each other too:
// a place is guessed from the weight before, compared, and only looked up by its hash when the guess was wrong.
class CompanionFinder {
 public:
  explicit CompanionFinder(const TensorFiles& files) : files_(files) {}

  // To be called for every tensor first: companions of a role that no tensor has are not looked for.
  void note(Role role) { occurs_[static_cast<std::size_t>(role)] = true; }
  [[nodiscard]] StoredWeight find(const StoredTensor& data, const TensorRole& role);

 private:
  struct Guess {
    std::ptrdiff_t last = -1;
    std::ptrdiff_t step = 1;
  };
  [[nodiscard]] const StoredTensor* find_one(Role companion, std::string_view suffix);

  const TensorFiles& files_;
  std::array<bool, kNumRoles> occurs_{};
  std::array<Guess, kNumRoles> guesses_;
  std::string name_;            // scratch
  std::size_t stem_chars_ = 0;  // of name_, before the suffix
};

// Fills name, scheme (NVFP4 as W4A16 until the activations are known), dtype, shape, block size, orientation and
// provenance. An Error when types or shapes fit no scheme.
[[nodiscard]] Status describe_storage(const TensorFiles& files, const StoredWeight& stored, Arena& arena,
                                      DescribedTensor& out);

// Rows per logical shard for `num_scales` second-level scales: [N] for one per matrix; halves for gate and up; q, k and
// v of a fused projection by the heads of `model`. An Error when the rows of each cannot be known.
[[nodiscard]] Result<std::span<const std::uint64_t>> shard_rows(const TensorFiles& files, const DescribedTensor& weight,
                                                                std::uint64_t num_scales, const ModelConfig& model,
                                                                Arena& arena);

}  // namespace nvfp4::checkpoint
