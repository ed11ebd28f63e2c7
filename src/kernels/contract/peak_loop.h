// Loops that do one thing as fast as a processor can: multiply in registers, or read memory. What they reach is the
// ceiling that kernels are measured against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/cpu_features.h"

namespace nvfp4::kernels {

enum class Multiply : std::uint8_t {
  kF32,   // a * b + c
  kBF16,  // products of BF16, summed in FP32
  kInt8,  // products of bytes, summed in wider integers
};

struct MultiplyLoop {
  std::string_view name;
  Multiply kind = Multiply::kF32;
  InstructionSet needs = InstructionSet::kPortable;
  double operations_per_round = 0;                   // a multiplication and an addition are two
  float (*run)(std::uint64_t num_rounds) = nullptr;  // what it returns has no meaning
};

struct ReadLoop {
  static constexpr std::size_t kStepBytes = 512;

  std::string_view name;
  InstructionSet needs = InstructionSet::kPortable;
  // num_bytes: a multiple of kStepBytes, memory aligned to 64 bytes. prefetch_bytes 0: no prefetching, the processor
  // sees to it. What it returns has no meaning.
  std::uint64_t (*run)(const std::byte* memory, std::size_t num_bytes, std::size_t prefetch_bytes) = nullptr;
};

}  // namespace nvfp4::kernels
