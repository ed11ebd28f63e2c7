// Random numbers for one weight, made on all workers.
#pragma once

#include <cstdint>

#include "base/worker_pool.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

// Fills a weight of which name, format, activation, sizes, block size and per_row_scale are set: row-major, of variance
// spread^2, with scales and, for static activations, input scales under which activations of unit variance fit. `key`
// decides every byte. False when there is not enough memory.
[[nodiscard]] bool fill_random(PreparedWeight& weight, std::uint64_t key, double spread, WorkerPool& pool);

// SplitMix64's output function: a good hash of a number.
[[nodiscard]] constexpr std::uint64_t mix_bits(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

}  // namespace nvfp4::prepare
