// A model for tests: its logits are a hash of all tokens of a sequence so far, which it knows from the cache only. A
// wrong block table, position or order therefore changes the answer, and whatever breaks a batch's promises is
// reported.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "kernels/catalogue/row_catalogue.h"
#include "models/model.h"

namespace nvfp4::engine {

class HistoryModel final : public models::LanguageModel {
 public:
  static constexpr std::uint32_t kVocabSize = 97;
  // A sequence that has seen this token has logits that are no numbers. It never comes by itself.
  static constexpr TokenId kPoison = 96;

  explicit HistoryModel(std::uint32_t max_positions) {
    shape_.architecture = "History";
    shape_.num_layers = 2;
    shape_.hidden_size = 1;
    shape_.vocab_size = kVocabSize;
    shape_.max_positions = max_positions;
    shape_.kv.num_layers = 2;
    shape_.kv.num_kv_heads = 1;
    shape_.kv.head_dim = 2;
  }

  [[nodiscard]] const models::ModelShape& shape() const override { return shape_; }
  [[nodiscard]] const plan::Plan& plan() const override { return plan_; }
  [[nodiscard]] std::size_t workspace_bytes(std::uint32_t num_tokens, std::uint32_t /*num_logit_rows*/,
                                            std::size_t /*num_workers*/) const override {
    return Workspace::bytes_for<float>(num_tokens);
  }

  void forward(const layers::StepBatch& batch, layers::KvCache& cache, Workspace& workspace, WorkerPool& pool,
               std::span<float> logits, models::HiddenTap* /*tap*/) const override {
    const Workspace::Mark mark(workspace);
    (void)workspace.take<float>(batch.tokens.size());
    check_blocks(batch, cache);
    std::size_t row_idx = 0;
    std::size_t num_covered = 0;
    for (const layers::SequenceSlice& slice : batch.sequences) {
      EXPECT_EQ(slice.first_token, num_covered);
      EXPECT_GE(slice.num_tokens, 1U);
      num_covered += slice.num_tokens;
      for (std::uint32_t i = 0; i < slice.num_tokens; ++i) write(batch, slice, i, cache);
      for (; row_idx < batch.logit_rows.size() && batch.logit_rows[row_idx] < num_covered; ++row_idx) {
        const std::uint32_t position = slice.first_position + batch.logit_rows[row_idx] - slice.first_token;
        fill_logits(hash_of_cache(slice, position, cache), logits.subspan(row_idx * kVocabSize, kVocabSize));
      }
    }
    EXPECT_EQ(num_covered, batch.tokens.size());
    EXPECT_EQ(row_idx, batch.logit_rows.size());
    EXPECT_EQ(logits.size(), row_idx * kVocabSize);
    max_batch_tokens_ = std::max(max_batch_tokens_, num_covered);
    max_batch_sequences_ = std::max(max_batch_sequences_, batch.sequences.size());
    pool.run(1, [](std::size_t, std::size_t) {});
  }

  // What forward() would give after `tokens`, without a cache.
  static void logits_after(std::span<const TokenId> tokens, std::span<float> logits) {
    std::uint64_t hash = 0;
    for (const TokenId token : tokens) hash = mixed(hash, token);
    fill_logits(hash, logits);
  }

  [[nodiscard]] std::size_t max_batch_tokens() const { return max_batch_tokens_; }
  [[nodiscard]] std::size_t max_batch_sequences() const { return max_batch_sequences_; }

 private:
  static constexpr std::uint64_t kPoisoned = std::numeric_limits<std::uint64_t>::max();

  static std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
    if (hash == kPoisoned || value == kPoison) return kPoisoned;
    hash = (hash ^ value) + 0x9E3779B97F4A7C15;
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
    return hash ^ (hash >> 31);
  }

  static void fill_logits(std::uint64_t hash, std::span<float> logits) {
    for (std::size_t token = 0; token < logits.size(); ++token) {
      logits[token] = static_cast<float>(mixed(hash, token + 1000) >> 40) * 0x1p-21F - 4.0F;  // [-4, 4)
    }
    logits[kPoison] = -std::numeric_limits<float>::infinity();
    if (hash == kPoisoned) std::fill(logits.begin(), logits.end(), std::numeric_limits<float>::quiet_NaN());
  }

  // No block may belong to two sequences of a batch.
  void check_blocks(const layers::StepBatch& batch, const layers::KvCache& cache) const {
    used_.assign(cache.num_blocks(), false);
    for (const layers::SequenceSlice& slice : batch.sequences) {
      ASSERT_GE(slice.blocks.size() * layers::KvCache::kBlockTokens, slice.first_position + slice.num_tokens);
      ASSERT_LE(slice.first_position + slice.num_tokens, shape_.max_positions);
      for (const std::uint32_t block_idx : slice.blocks) {
        ASSERT_LT(block_idx, cache.num_blocks());
        ASSERT_FALSE(used_[block_idx]);
        used_[block_idx] = true;
      }
    }
  }

  static void write(const layers::StepBatch& batch, const layers::SequenceSlice& slice, std::uint32_t i,
                    layers::KvCache& cache) {
    const std::uint32_t position = slice.first_position + i;
    const std::array<float, 2> entry{static_cast<float>(batch.tokens[slice.first_token + i]),
                                     static_cast<float>(position)};
    constexpr std::uint32_t kSlots = layers::KvCache::kBlockTokens;
    for (const std::uint32_t layer_idx : {0U, 1U}) {
      cache.write(layer_idx, slice.blocks[position / kSlots], position % kSlots, entry.data(), entry.data(),
                  kernels::row_kernels(best_instruction_set()));
    }
  }

  // Reads keys of layer 0 and values of layer 1 by turns.
  static std::uint64_t hash_of_cache(const layers::SequenceSlice& slice, std::uint32_t last, layers::KvCache& cache) {
    constexpr std::uint32_t kSlots = layers::KvCache::kBlockTokens;
    std::array<float, 2 * kSlots> entries;
    std::uint64_t hash = 0;
    for (std::uint32_t first = 0; first <= last; first += kSlots) {
      const std::uint32_t num_slots = std::min(kSlots, last + 1 - first);
      const std::uint32_t block_idx = slice.blocks[first / kSlots];
      if (first / kSlots % 2 == 0) {
        cache.read_keys(0, block_idx, 0, num_slots, entries.data());
      } else {
        cache.read_values(1, block_idx, 0, num_slots, entries.data());
      }
      for (std::uint32_t slot = 0; slot < num_slots; ++slot) {
        EXPECT_EQ(entries[2 * slot + 1], static_cast<float>(first + slot)) << "not this sequence's cache block";
        hash = mixed(hash, static_cast<std::uint64_t>(entries[2 * slot]));
      }
    }
    return hash;
  }

  models::ModelShape shape_;
  plan::Plan plan_;
  mutable std::vector<bool> used_;
  mutable std::size_t max_batch_tokens_ = 0;
  mutable std::size_t max_batch_sequences_ = 0;
};

}  // namespace nvfp4::engine
