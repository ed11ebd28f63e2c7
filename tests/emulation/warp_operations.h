// What the lanes of a warp exchange: synchronisation, shuffles, votes, sums. Kernels call them by CUDA's names
// (include/cuda_runtime.h).
#pragma once

#include <cstdint>

namespace nvfp4::emulation {

void synchronize_warp(std::uint32_t mask);
void synchronize_block();
// Barrier `id` of so many threads.
void synchronize_numbered(std::uint32_t id, std::uint32_t num_threads);

enum class ShuffleKind : std::uint8_t { kFrom, kUp, kDown, kXor };
// operand: lane or distance. width: of the groups of lanes that the shuffle stays in.
[[nodiscard]] std::uint64_t shuffle(ShuffleKind kind, std::uint32_t mask, std::uint64_t value, std::uint32_t operand,
                                    std::uint32_t width);
// Lanes of mask whose predicate holds.
[[nodiscard]] std::uint32_t vote(std::uint32_t mask, bool predicate);
// Lanes of mask that have the same value.
[[nodiscard]] std::uint32_t match(std::uint32_t mask, std::uint64_t value);

enum class ReductionKind : std::uint8_t { kSum, kMin, kMax, kMinSigned, kMaxSigned, kAnd, kOr, kXor };
[[nodiscard]] std::uint32_t reduce(ReductionKind kind, std::uint32_t mask, std::uint32_t value);

}  // namespace nvfp4::emulation
