// The pairs (token, slot) of few tokens, and the memory in which a block groups them: moe_decode_chunks.cuh.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

// Which experts the pairs go to. Null ids: the pairs are the rows of one matrix.
struct DecodePairs {
  const std::int32_t* ids = nullptr;         // [num_pairs]
  const std::int32_t* expert_map = nullptr;  // [num_ids] -> place, or null: the same
  std::uint32_t num_ids = 0;
  std::uint32_t num_experts = 1;
  std::uint32_t num_pairs = 0;
};

inline constexpr std::uint32_t kMaxDecodePairs = 2048;
inline constexpr std::uint32_t kNoExpert = 0xFFFF;
inline constexpr std::uint32_t kFewPairs = 32;  // each warp groups them in registers

// Whether a kernel's pairs have ids: none, always and for kFewPairs at most, or either.
enum class DecodeIds : std::uint8_t { kNone, kOfFew, kAny };

// Chunks that num_pairs can make at most.
[[nodiscard]] constexpr std::uint32_t max_decode_chunks(std::uint32_t num_pairs, std::uint32_t num_experts,
                                                        std::uint32_t size) {
  const std::uint32_t most = num_experts + num_pairs / size;
  return most < num_pairs ? most : num_pairs;
}

// In shared memory: 16-bit numbers, then two counters of each expert.
struct DecodeChunkPlaces {
  std::uint32_t max_chunks, size, num_pairs, num_experts;

  [[nodiscard]] constexpr std::uint32_t expert_at() const { return 8; }
  [[nodiscard]] constexpr std::uint32_t count_at() const { return expert_at() + max_chunks; }
  [[nodiscard]] constexpr std::uint32_t member_at() const { return count_at() + max_chunks; }
  [[nodiscard]] constexpr std::uint32_t unordered_at() const { return member_at() + max_chunks * size; }
  [[nodiscard]] constexpr std::uint32_t expert_of_pair_at() const { return unordered_at() + max_chunks * size; }
  [[nodiscard]] constexpr std::uint32_t counters_at() const { return (expert_of_pair_at() + num_pairs + 7) / 8 * 8; }
  [[nodiscard]] constexpr std::uint32_t num_bytes() const { return counters_at() * 2 + num_experts * 8; }
};

// pair_of_row[p] = p, or -1 where the pair's expert is not here: of rows that differ between the experts of a token.
[[nodiscard]] Status list_pairs(const DecodePairs& pairs, std::int32_t* pair_of_row, DeviceStream stream);
[[nodiscard]] Status let_list_pairs_overlap();  // as let_combine_overlap()

}  // namespace nvfp4::kernels::cuda_sm90
