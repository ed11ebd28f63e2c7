// The tokens that one forward pass works on: any number of sequences, each with any number of new tokens.
#pragma once

#include <cstdint>
#include <span>

#include "nvfp4/token.h"

namespace nvfp4::layers {

class Profile;

// The new tokens of one sequence. Their positions are first_position, first_position + 1, ...; everything before is in
// the cache already.
struct SequenceSlice {
  std::uint32_t first_token = 0;  // index into StepBatch::tokens
  std::uint32_t num_tokens = 0;   // at least 1
  std::uint32_t first_position = 0;
  std::span<const std::uint32_t> blocks;  // cache blocks, enough for first_position + num_tokens tokens
};

struct StepBatch {
  std::span<const TokenId> tokens;            // [num_tokens] of all sequences, one sequence behind another
  std::span<const SequenceSlice> sequences;   // cover tokens in order
  std::span<const std::uint32_t> logit_rows;  // indices into tokens, ascending: whose logits are wanted
  Profile* profile = nullptr;                 // of the step; may be null
};

}  // namespace nvfp4::layers
