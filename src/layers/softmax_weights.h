// exp((x - max) / temperature) of a whole row, in FP32 arithmetic that compilers turn into vectors and that gives the
// same bits on every machine without contracted multiply-adds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nvfp4::layers {

// exp(x) for x <= 0, also -infinity. Relative error below 2^-22 down to kMinExponent, 0 beneath it; exactly 1 at 0.
inline constexpr float kMinExponent = -87.0F;

[[nodiscard]] inline float exp_of_negative(float x) {
  // Clamp and mask are arithmetic on the bits: a choice between floats, which may trap, stays a branch in compilers,
  // and the loop then does not become one over vectors.
  constexpr auto kMaxSize = std::bit_cast<std::int32_t>(-kMinExponent);
  const std::int32_t excess = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(x) & 0x7fffffffU) - kMaxSize;
  const float clamped = -std::bit_cast<float>(kMaxSize + (excess & (excess >> 31)));
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
  constexpr float kRound = 12582912.0F;
  const float shifted = clamped * 1.44269504088896341F + kRound;
  const float n = shifted - kRound;
  // ln 2 in two parts: the product with the first is exact.
  const float r = (clamped - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r * r + r + 1.0F;
  // n + 127 in the exponent field: the constant's own bits are shifted out.
  const float power = std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) + 127U) << 23);
  const auto mask = static_cast<std::uint32_t>((excess - 1) >> 31);  // all ones where x >= kMinExponent
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p * power) & mask);
}

// weights[i] = exp((values[i] - max) / temperature). max is the largest of values and finite.
void softmax_weights(std::span<const float> values, float max, float temperature, std::span<float> weights);

// In FP64, always in the same order.
[[nodiscard]] double sum_of(std::span<const float> values);

}  // namespace nvfp4::layers
