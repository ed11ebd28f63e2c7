#include "engine/scheduler.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace nvfp4::engine {

Scheduler::Scheduler(std::uint32_t num_blocks, std::uint32_t max_batch_tokens, std::uint32_t max_sequences)
    : blocks_(num_blocks), max_batch_tokens_(max_batch_tokens), max_sequences_(max_sequences) {
  slices_.reserve(std::min(max_batch_tokens, max_sequences));
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  assert(sequences_.empty() || sequences_.back()->id < sequence->id);
  sequences_.push_back(std::move(sequence));
}

std::span<const ScheduledSlice> Scheduler::schedule() {
  slices_.clear();
  budget_ = max_batch_tokens_;
  schedule_decodes();
  schedule_prompts();
  admit_waiting();
  assert(!slices_.empty() || sequences_.empty());
  return slices_;
}

// Only here blocks can run out: prompts have had theirs since they were admitted. Whoever is preempted comes later in
// the queue than everyone who has a slice, or is the one that asks.
void Scheduler::schedule_decodes() {
  for (std::uint32_t i = 0; i < num_running_ && budget_ > 0; ++i) {
    Sequence& sequence = *sequences_[i];
    if (sequence.num_uncached() > 1) continue;
    const std::uint32_t num_blocks = Sequence::blocks_for(sequence.num_tokens());
    while (sequence.blocks.size() < num_blocks && blocks_.num_free() == 0 && i < num_running_) preempt_last();
    if (i == num_running_) return;
    grow(sequence, num_blocks);
    take(sequence, 1);
  }
}

void Scheduler::schedule_prompts() {
  for (std::uint32_t i = 0; i < num_running_ && budget_ > 0; ++i) {
    Sequence& sequence = *sequences_[i];
    if (sequence.num_uncached() > 1) take(sequence, std::min(budget_, sequence.num_uncached()));
  }
}

// A newcomer leaves one block to everyone who runs: so it is not preempted before it has computed something useful.
void Scheduler::admit_waiting() {
  while (num_running_ < sequences_.size() && num_running_ < max_sequences_ && budget_ > 0) {
    Sequence& sequence = *sequences_[num_running_];
    const std::uint32_t num_blocks = Sequence::blocks_for(sequence.num_tokens());
    if (blocks_.num_free() < num_blocks + num_running_) return;
    grow(sequence, num_blocks);
    ++num_running_;
    take(sequence, std::min(budget_, sequence.num_uncached()));
  }
}

void Scheduler::take(Sequence& sequence, std::uint32_t num_tokens) {
  slices_.push_back({&sequence, num_tokens});
  budget_ -= num_tokens;
}

void Scheduler::preempt_last() {
  Sequence& sequence = *sequences_[--num_running_];
  release_blocks(sequence);
  sequence.num_cached = 0;
  ++sequence.facts.num_preemptions;
  ++num_preemptions_;
}

void Scheduler::grow(Sequence& sequence, std::uint32_t num_blocks) {
  while (sequence.blocks.size() < num_blocks) sequence.blocks.push_back(blocks_.allocate());
}

void Scheduler::release_blocks(Sequence& sequence) {
  // The first block last, so that it is the first to be given out again.
  for (; !sequence.blocks.empty(); sequence.blocks.pop_back()) blocks_.release(sequence.blocks.back());
}

bool Scheduler::remove(SequenceId id) {
  const auto it = std::lower_bound(sequences_.begin(), sequences_.end(), id,
                                   [](const auto& sequence, SequenceId wanted) { return sequence->id < wanted; });
  if (it == sequences_.end() || (*it)->id != id) return false;
  release_blocks(**it);
  if (it - sequences_.begin() < static_cast<std::ptrdiff_t>(num_running_)) --num_running_;
  sequences_.erase(it);
  return true;
}

}  // namespace nvfp4::engine
