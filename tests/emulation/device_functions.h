// CUDA's functions of integers, numbers, threads and warps, as kernels call them.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "emulation/atomics.h"
#include "emulation/block.h"
#include "emulation/warp_operations.h"

// Numbers.
inline std::uint32_t min(std::uint32_t a, std::uint32_t b) { return a < b ? a : b; }
inline std::uint32_t max(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }
inline std::int32_t min(std::int32_t a, std::int32_t b) { return a < b ? a : b; }
inline std::int32_t max(std::int32_t a, std::int32_t b) { return a > b ? a : b; }
inline std::uint64_t min(std::uint64_t a, std::uint64_t b) { return a < b ? a : b; }
inline std::uint64_t max(std::uint64_t a, std::uint64_t b) { return a > b ? a : b; }
inline int __popc(std::uint32_t bits) { return std::popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return std::countl_zero(static_cast<std::uint32_t>(bits)); }
inline float __uint_as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t __float_as_uint(float value) { return std::bit_cast<std::uint32_t>(value); }
inline float __int_as_float(std::int32_t bits) { return std::bit_cast<float>(bits); }
inline std::int32_t __float_as_int(float value) { return std::bit_cast<std::int32_t>(value); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0F / a; }
inline float __expf(float a) { return std::exp(a); }
inline float __fdividef(float a, float b) { return a / b; }
using std::isfinite;
inline void sincospif(float a, float* sine, float* cosine) {
  constexpr double kPi = 3.14159265358979323846;
  *sine = static_cast<float>(std::sin(kPi * a));
  *cosine = static_cast<float>(std::cos(kPi * a));
}
inline float __ull2float_rn(unsigned long long value) { return static_cast<float>(value); }
inline unsigned long long __float2ull_rn(float value) {  // saturates, NaN: 2^63
  if (std::isnan(value)) return 1ULL << 63U;
  if (value <= 0.0F) return 0;
  return value >= 0x1p64F ? ~0ULL : static_cast<unsigned long long>(std::nearbyint(value));
}

// Words.
inline std::uint32_t __byte_perm(std::uint32_t a, std::uint32_t b, std::uint32_t selectors) {
  const std::uint64_t bytes = std::uint64_t{b} << 32U | a;
  std::uint32_t result = 0;
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::uint32_t selector = selectors >> 4 * i & 15U;
    std::uint32_t byte = static_cast<std::uint32_t>(bytes >> 8 * (selector & 7U)) & 0xFFU;
    if ((selector & 8U) != 0) byte = (byte & 0x80U) != 0 ? 0xFFU : 0U;  // its sign
    result |= byte << 8 * i;
  }
  return result;
}
inline std::uint32_t __funnelshift_l(std::uint32_t low, std::uint32_t high, std::uint32_t shift) {
  return static_cast<std::uint32_t>(((std::uint64_t{high} << 32U | low) << (shift & 31U)) >> 32U);
}
inline std::uint32_t __funnelshift_r(std::uint32_t low, std::uint32_t high, std::uint32_t shift) {
  return static_cast<std::uint32_t>((std::uint64_t{high} << 32U | low) >> (shift & 31U));
}
inline std::uint32_t __vmaxu2(std::uint32_t a, std::uint32_t b) {
  return max(a & 0xFFFFU, b & 0xFFFFU) | max(a >> 16U, b >> 16U) << 16U;
}

// Memory.
template <class T>
T __ldcg(const T* from) {
  return *from;
}
template <class T>
void __stcg(T* to, T value) {
  *to = value;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
T __ldg(const T* from) {
  return *from;
}
inline void __threadfence() { nvfp4::emulation::fence(nvfp4::emulation::FenceScope::kDevice); }
inline void __threadfence_block() { nvfp4::emulation::fence(nvfp4::emulation::FenceScope::kBlock); }
inline std::size_t __cvta_generic_to_shared(const void* pointer) {
  nvfp4::emulation::Block& block = *nvfp4::emulation::Block::running();
  if (!block.shared.has(pointer)) block.fail("takes the shared address of what is not in shared memory");
  return block.shared.address_of(pointer);
}

template <class T>
T emulated_atomic(nvfp4::emulation::AtomicKind kind, T* address, T value) {
  static_assert(std::is_integral_v<T>, "sums of floats would depend on their order");
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  return static_cast<T>(
      nvfp4::emulation::change_atomically(kind, address, sizeof(T), static_cast<std::uint64_t>(value)));
}
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return emulated_atomic(nvfp4::emulation::AtomicKind::kAdd, address, value);
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return emulated_atomic(nvfp4::emulation::AtomicKind::kOr, address, value);
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  static_assert(std::is_unsigned_v<T>);
  return emulated_atomic(nvfp4::emulation::AtomicKind::kMax, address, value);
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return emulated_atomic(nvfp4::emulation::AtomicKind::kExchange, address, value);
}

// Threads of a block and lanes of a warp.
inline void __syncthreads() { nvfp4::emulation::synchronize_block(); }
inline void __syncwarp(std::uint32_t mask = 0xFFFFFFFFU) { nvfp4::emulation::synchronize_warp(mask); }

template <class T>
T emulated_shuffle(nvfp4::emulation::ShuffleKind kind, std::uint32_t mask, T value, std::uint32_t operand, int width) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<T>(static_cast<Bits>(
      nvfp4::emulation::shuffle(kind, mask, std::bit_cast<Bits>(value), operand, static_cast<std::uint32_t>(width))));
}
template <class T>
T __shfl_sync(std::uint32_t mask, T value, int lane, int width = 32) {
  return emulated_shuffle(nvfp4::emulation::ShuffleKind::kFrom, mask, value, static_cast<std::uint32_t>(lane), width);
}
template <class T>
T __shfl_up_sync(std::uint32_t mask, T value, unsigned distance, int width = 32) {
  return emulated_shuffle(nvfp4::emulation::ShuffleKind::kUp, mask, value, distance, width);
}
template <class T>
T __shfl_down_sync(std::uint32_t mask, T value, unsigned distance, int width = 32) {
  return emulated_shuffle(nvfp4::emulation::ShuffleKind::kDown, mask, value, distance, width);
}
template <class T>
T __shfl_xor_sync(std::uint32_t mask, T value, int lane_mask, int width = 32) {
  return emulated_shuffle(nvfp4::emulation::ShuffleKind::kXor, mask, value, static_cast<std::uint32_t>(lane_mask),
                          width);
}
inline std::uint32_t __ballot_sync(std::uint32_t mask, int predicate) {
  return nvfp4::emulation::vote(mask, predicate != 0);
}
inline int __any_sync(std::uint32_t mask, int predicate) {
  return nvfp4::emulation::vote(mask, predicate != 0) != 0 ? 1 : 0;
}
inline int __all_sync(std::uint32_t mask, int predicate) {
  return nvfp4::emulation::vote(mask, predicate != 0) == mask ? 1 : 0;
}
template <class T>
std::uint32_t __match_any_sync(std::uint32_t mask, T value) {
  return nvfp4::emulation::match(mask, static_cast<std::uint64_t>(value));
}
inline std::uint32_t __reduce_add_sync(std::uint32_t mask, std::uint32_t value) {
  return nvfp4::emulation::reduce(nvfp4::emulation::ReductionKind::kSum, mask, value);
}
inline std::uint32_t __reduce_max_sync(std::uint32_t mask, std::uint32_t value) {
  return nvfp4::emulation::reduce(nvfp4::emulation::ReductionKind::kMax, mask, value);
}
inline std::uint32_t __reduce_min_sync(std::uint32_t mask, std::uint32_t value) {
  return nvfp4::emulation::reduce(nvfp4::emulation::ReductionKind::kMin, mask, value);
}
inline std::uint32_t __reduce_or_sync(std::uint32_t mask, std::uint32_t value) {
  return nvfp4::emulation::reduce(nvfp4::emulation::ReductionKind::kOr, mask, value);
}
