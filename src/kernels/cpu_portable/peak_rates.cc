#include "kernels/cpu_portable/peak_rates.h"

#include <cstring>

namespace nvfp4::kernels::cpu_portable {
namespace {

constexpr int kLanes = 32;  // few enough for registers, enough to hide how long one operation takes

float multiply_f32(std::uint64_t num_rounds) {
  float sums[kLanes];
  for (int i = 0; i < kLanes; ++i) sums[i] = static_cast<float>(i);
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
    for (float& sum : sums) sum = sum * 0.5F + 1.0F;
  }
  float total = 0.0F;
  for (const float sum : sums) total += sum;
  return total;
}

float multiply_int16(std::uint64_t num_rounds) {
  std::uint16_t sums[2 * kLanes];
  for (int i = 0; i < 2 * kLanes; ++i) sums[i] = static_cast<std::uint16_t>(i);
  for (std::uint64_t round = 0; round < num_rounds; ++round) {
    for (std::uint16_t& sum : sums) sum = static_cast<std::uint16_t>(sum * std::uint32_t{sum} + 1U);
  }
  std::uint32_t total = 0;
  for (const std::uint16_t sum : sums) total += sum;
  return static_cast<float>(total);
}

std::uint64_t read_memory(const std::byte* memory, std::size_t num_bytes, std::size_t prefetch_bytes) {
  constexpr std::size_t kNumWords = 8;
  constexpr std::size_t kLineBytes = 64;
  std::uint64_t bits[kNumWords] = {};
  for (std::size_t at = 0; at < num_bytes; at += kLineBytes) {
    if (prefetch_bytes != 0) __builtin_prefetch(memory + at + prefetch_bytes);
    std::uint64_t words[kNumWords];
    std::memcpy(words, memory + at, kLineBytes);
    for (std::size_t i = 0; i < kNumWords; ++i) bits[i] |= words[i];
  }
  for (std::size_t i = 1; i < kNumWords; ++i) bits[0] |= bits[i];
  return bits[0];
}

constexpr MultiplyLoop kMultiplyLoops[] = {
    {"multiply_f32", Multiply::kF32, InstructionSet::kPortable, 2.0 * kLanes, multiply_f32},
    {"multiply_int16", Multiply::kInt8, InstructionSet::kPortable, 4.0 * kLanes, multiply_int16},
};
constexpr ReadLoop kReadLoops[] = {{"read", InstructionSet::kPortable, read_memory}};

}  // namespace

std::span<const MultiplyLoop> multiply_loops() { return kMultiplyLoops; }
std::span<const ReadLoop> read_loops() { return kReadLoops; }

}  // namespace nvfp4::kernels::cpu_portable
