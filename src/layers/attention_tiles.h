// How a batch is cut for attention: runs of neighbouring tokens of one sequence.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/workspace.h"
#include "layers/step_batch.h"

namespace nvfp4::layers {

struct TokenTile {
  const SequenceSlice* sequence = nullptr;
  std::uint32_t first_token = 0;  // index into StepBatch::tokens
  std::uint32_t num_tokens = 0;
  std::uint32_t first_position = 0;
};

// Tiles end where the position is a multiple of most_tokens. There are no more of them than tokens.
inline std::span<const TokenTile> tiles_of(const StepBatch& batch, std::uint32_t most_tokens, Workspace& workspace) {
  const std::span<TokenTile> tiles = workspace.take<TokenTile>(batch.tokens.size());
  std::size_t num_tiles = 0;
  for (const SequenceSlice& sequence : batch.sequences) {
    for (std::uint32_t i = 0; i < sequence.num_tokens;) {
      const std::uint32_t position = sequence.first_position + i;
      const std::uint32_t count = std::min(most_tokens - position % most_tokens, sequence.num_tokens - i);
      tiles[num_tiles++] = {&sequence, sequence.first_token + i, count, position};
      i += count;
    }
  }
  return tiles.first(num_tiles);
}

}  // namespace nvfp4::layers
