// Division by a number that the host knows, without a division.
#pragma once

#include <cstdint>

namespace nvfp4::kernels::cuda_sm90 {

struct KnownDivisor {
  std::uint32_t value = 1;
  std::uint32_t reciprocal = 0xFFFFFFFFU;  // floor((2^32 - 1) / value)

  constexpr KnownDivisor() = default;
  constexpr KnownDivisor(std::uint32_t divisor) : value(divisor), reciprocal(0xFFFFFFFFU / divisor) {}

  // Exact: the product's high half is the quotient or one less, as 2^32 / value - reciprocal is at most 1.
  [[nodiscard]] constexpr std::uint32_t quotient(std::uint32_t number) const {
    const auto about = static_cast<std::uint32_t>(std::uint64_t{number} * reciprocal >> 32U);
    return number - about * value >= value ? about + 1 : about;
  }
};

}  // namespace nvfp4::kernels::cuda_sm90
