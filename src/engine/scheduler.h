// Who computes how many tokens in a step, and who holds which cache blocks.
//
// First come, first served. Running sequences are always the ones that arrived first, so the list below is one queue:
// its first num_running sequences run, the others wait, and to preempt means to move that border over the last that
// runs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/block_allocator.h"
#include "engine/sequence.h"

namespace nvfp4::engine {

// The next num_tokens tokens of a sequence; its blocks are there.
struct ScheduledSlice {
  Sequence* sequence = nullptr;
  std::uint32_t num_tokens = 0;
};

class Scheduler {
 public:
  Scheduler(std::uint32_t num_blocks, std::uint32_t max_batch_tokens, std::uint32_t max_sequences);

  // No more tokens (max_tokens) than all blocks hold.
  void add(std::unique_ptr<Sequence> sequence);

  // The slices of a step: first one token for each sequence that decodes, then pieces of prompts, then new sequences
  // while there are blocks for all their tokens. At most max_batch_tokens in all; none only when there is no sequence.
  [[nodiscard]] std::span<const ScheduledSlice> schedule();

  // Frees the sequence's blocks at once. False: there is no such sequence (any more).
  bool remove(SequenceId id);

  [[nodiscard]] std::uint32_t num_running() const { return num_running_; }
  [[nodiscard]] std::uint32_t num_waiting() const {
    return static_cast<std::uint32_t>(sequences_.size()) - num_running_;
  }
  [[nodiscard]] const BlockAllocator& blocks() const { return blocks_; }
  [[nodiscard]] std::uint64_t num_preemptions() const { return num_preemptions_; }

 private:
  void schedule_decodes();
  void schedule_prompts();
  void admit_waiting();
  void take(Sequence& sequence, std::uint32_t num_tokens);
  void preempt_last();
  void grow(Sequence& sequence, std::uint32_t num_blocks);
  void release_blocks(Sequence& sequence);

  BlockAllocator blocks_;
  std::uint32_t max_batch_tokens_;
  std::uint32_t max_sequences_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // in order of arrival
  std::uint32_t num_running_ = 0;                     // the first of sequences_
  std::uint64_t num_preemptions_ = 0;
  std::vector<ScheduledSlice> slices_;  // of this step
  std::uint32_t budget_ = 0;            // tokens that this step may still take
};

}  // namespace nvfp4::engine
