#include "checkpoint/health_scan.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace nvfp4::checkpoint {
namespace {

// What baseline x86-64 and ARM both have; the compiler splits or joins them as the target likes.
using Bytes16 = std::uint8_t __attribute__((vector_size(16)));
using Words2 = std::int64_t __attribute__((vector_size(16)));
using Halves4 = std::int32_t __attribute__((vector_size(16)));

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

void note_first(std::uint64_t& first, std::uint64_t idx) { first = std::min(first, idx); }

std::uint64_t sum_of(Bytes16 lanes) {
  std::uint64_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += lanes[i];
  return sum;
}

bool any_of(Bytes16 lanes) {
  const auto words = reinterpret_cast<Words2>(lanes);
  return (words[0] | words[1]) != 0;
}

void scan_block_scale(std::uint8_t scale, std::uint64_t idx, ScanCounts& counts) {
  if ((scale & 0x7FU) == 0x7FU) {
    ++counts.num_nan;
    note_first(counts.first_nan, idx);
    return;
  }
  if ((scale & 0x80U) != 0) {
    ++counts.num_negative;
    note_first(counts.first_negative, idx);
  }
  if ((scale & 0x7FU) == 0) ++counts.num_zero;
  if (scale >= 1 && scale <= 7) ++counts.num_subnormal;
  if (scale == 0x7E) ++counts.num_saturated;
}

// At most 255 vectors, so that a lane of a counter cannot overflow. False, and nothing counted, when a scale is NaN or
// has its sign set.
bool scan_sound_block_scales(const std::byte* at, std::size_t num_vectors, ScanCounts& counts) {
  Bytes16 low{};
  Bytes16 zero{};
  Bytes16 saturated{};
  Bytes16 bad{};
#pragma GCC unroll 4
  for (std::size_t i = 0; i < num_vectors; ++i) {
    const auto v = load<Bytes16>(at + i * sizeof(Bytes16));
    bad |= v | (v + 1);  // bit 7: from 0x7F on
    zero -= static_cast<Bytes16>(v == 0);
    low -= static_cast<Bytes16>((v & 0xF8) == 0);
    saturated -= static_cast<Bytes16>(v == 0x7E);
  }
  if (any_of(bad & 0x80)) return false;
  const std::uint64_t num_zero = sum_of(zero);
  counts.num_zero += num_zero;
  counts.num_subnormal += sum_of(low) - num_zero;
  counts.num_saturated += sum_of(saturated);
  return true;
}

// Blocks of 16 (or 32) codes that are all +-0, in steps of 32 bytes. A lane holds half a block after the load, and a
// whole one (a half of 32 codes) after the first fold.
std::uint64_t count_zero_blocks(const std::byte* at, std::size_t num_steps, bool blocks_of_16) {
  constexpr std::int32_t kMagnitudes = 0x77777777;  // without the sign bits of eight codes
  Halves4 zero{};
#pragma GCC unroll 4
  for (std::size_t i = 0; i < num_steps; ++i) {
    const auto a = load<Halves4>(at + i * 2 * sizeof(Halves4));
    const auto b = load<Halves4>(at + (i * 2 + 1) * sizeof(Halves4));
    auto any = __builtin_shufflevector(a, b, 0, 2, 4, 6) | __builtin_shufflevector(a, b, 1, 3, 5, 7);
    if (!blocks_of_16) any |= __builtin_shufflevector(any, any, 1, 0, 3, 2);
    zero -= (any & kMagnitudes) == 0;
  }
  const auto sum = static_cast<std::uint64_t>(zero[0]) + static_cast<std::uint64_t>(zero[1]) +
                   static_cast<std::uint64_t>(zero[2]) + static_cast<std::uint64_t>(zero[3]);
  return blocks_of_16 ? sum : sum / 2;
}

// Elements whose `exponent` bits are all set are infinite (mantissa 0) or NaN. Where all magnitude bits belong to it
// there is no infinity.
template <class Word>
struct FloatFormat {
  Word magnitude = 0;
  Word exponent = 0;
};

struct Survey {
  bool all_finite = true;
  bool all_zero = true;
};

template <class Word>
Survey survey(std::span<const std::byte> bytes, const FloatFormat<Word>& format) {
  using Vector [[gnu::vector_size(16)]] = Word;
  Vector bad{};
  Vector any{};
  const std::size_t num_vectors = bytes.size() / sizeof(Vector);
#pragma GCC unroll 4
  for (std::size_t i = 0; i < num_vectors; ++i) {
    const auto v = load<Vector>(bytes.data() + i * sizeof(Vector));
    bad |= reinterpret_cast<Vector>((v & format.exponent) == format.exponent);
    any |= v;
  }
  any &= format.magnitude;
  Survey result{!any_of(reinterpret_cast<Bytes16>(bad)), !any_of(reinterpret_cast<Bytes16>(any))};
  for (std::size_t at = num_vectors * sizeof(Vector); at < bytes.size(); at += sizeof(Word)) {
    const auto word = load<Word>(bytes.data() + at);
    result.all_finite = result.all_finite && (word & format.exponent) != format.exponent;
    result.all_zero = result.all_zero && (word & format.magnitude) == 0;
  }
  return result;
}

template <class Word>
void scan_words(std::span<const std::byte> bytes, const FloatFormat<Word>& format, std::uint64_t first_idx,
                std::uint64_t words_per_element, ScanCounts& counts) {
  const Survey seen = survey(bytes, format);
  counts.all_zero = counts.all_zero && seen.all_zero;
  if (seen.all_finite) return;
  for (std::size_t i = 0; i < bytes.size() / sizeof(Word); ++i) {
    const auto word = load<Word>(bytes.data() + i * sizeof(Word));
    if ((word & format.exponent) != format.exponent) continue;
    const bool infinite = format.magnitude != format.exponent && (word & format.magnitude) == format.exponent;
    ++(infinite ? counts.num_inf : counts.num_nan);
    note_first(infinite ? counts.first_inf : counts.first_nan, first_idx + i / words_per_element);
  }
}

// The FP8 types whose only NaN is what would be -0.
void scan_fnuz(std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto word = std::to_integer<std::uint8_t>(bytes[i]);
    counts.all_zero = counts.all_zero && word == 0;
    if (word != 0x80) continue;
    ++counts.num_nan;
    note_first(counts.first_nan, first_idx + i);
  }
}

template <class Word>
void scan_negative(std::span<const std::byte> bytes, std::uint64_t infinity, std::uint64_t first_idx,
                   ScanCounts& counts) {
  constexpr Word kSign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));
  for (std::size_t i = 0; i < bytes.size() / sizeof(Word); ++i) {
    const auto word = load<Word>(bytes.data() + i * sizeof(Word));
    const std::uint64_t magnitude = static_cast<Word>(word & ~kSign);
    if ((word & kSign) == 0 || magnitude > infinity || magnitude == 0) continue;
    ++counts.num_negative;
    note_first(counts.first_negative, first_idx + i);
  }
}

}  // namespace

void ScanCounts::merge(const ScanCounts& other) {
  num_nan += other.num_nan;
  num_inf += other.num_inf;
  num_negative += other.num_negative;
  first_nan = std::min(first_nan, other.first_nan);
  first_inf = std::min(first_inf, other.first_inf);
  first_negative = std::min(first_negative, other.first_negative);
  num_zero += other.num_zero;
  num_subnormal += other.num_subnormal;
  num_saturated += other.num_saturated;
  all_zero = all_zero && other.all_zero;
}

void scan_block_scales(std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts) {
  constexpr std::size_t kMaxVectors = 255;
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t num_vectors = std::min(kMaxVectors, (bytes.size() - done) / sizeof(Bytes16));
    const std::size_t end = num_vectors == 0 ? bytes.size() : done + num_vectors * sizeof(Bytes16);
    if (num_vectors == 0 || !scan_sound_block_scales(bytes.data() + done, num_vectors, counts)) {
      for (std::size_t i = done; i < end; ++i) {
        scan_block_scale(std::to_integer<std::uint8_t>(bytes[i]), first_idx + i, counts);
      }
    }
    done = end;
  }
}

void scan_codes(std::span<const std::byte> bytes, std::uint32_t block_size, ScanCounts& counts) {
  constexpr std::size_t kStepBytes = 2 * sizeof(Halves4);  // four blocks of 16, two of 32
  constexpr std::size_t kMaxSteps = 1 << 20;               // a lane counts 32 bits
  const std::size_t block_bytes = block_size / 2;
  std::size_t done = 0;
  while (bytes.size() - done >= kStepBytes) {
    const std::size_t num_steps = std::min(kMaxSteps, (bytes.size() - done) / kStepBytes);
    counts.num_zero += count_zero_blocks(bytes.data() + done, num_steps, block_size == 16);
    done += num_steps * kStepBytes;
  }
  for (; done < bytes.size(); done += block_bytes) {
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < block_bytes; i += sizeof(any)) any |= load<std::uint64_t>(bytes.data() + done + i);
    counts.num_zero += (any & 0x7777777777777777U) == 0 ? 1 : 0;
  }
}

void scan_codes_down(std::span<const std::byte> bytes, std::uint32_t block_size, ScanCounts& counts) {
  constexpr std::size_t kStrip = 256;
  const std::size_t num_rows = block_size / 2;
  const std::size_t width = bytes.size() / num_rows;
  for (std::size_t begin = 0; begin < width; begin += kStrip) {
    const std::size_t num_columns = std::min(kStrip, width - begin);
    std::array<std::uint8_t, kStrip> any{};
    for (std::size_t row = 0; row < num_rows; ++row) {
      const std::byte* const at = bytes.data() + row * width + begin;
      for (std::size_t i = 0; i < num_columns; ++i) any[i] |= std::to_integer<std::uint8_t>(at[i]);
    }
    std::uint32_t num_dead = 0;
    for (std::size_t i = 0; i < num_columns; ++i) num_dead += (any[i] & 0x77U) == 0 ? 1U : 0U;
    counts.num_zero += num_dead;
  }
}

void scan_floats(DType dtype, std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts) {
  switch (dtype) {
    case DType::kF8E4M3:
      return scan_words<std::uint8_t>(bytes, {0x7F, 0x7F}, first_idx, 1, counts);
    case DType::kF8E5M2:
      return scan_words<std::uint8_t>(bytes, {0x7F, 0x7C}, first_idx, 1, counts);
    case DType::kF8E8M0:
      return scan_words<std::uint8_t>(bytes, {0xFF, 0xFF}, first_idx, 1, counts);
    case DType::kF8E4M3Fnuz:
    case DType::kF8E5M2Fnuz:
      return scan_fnuz(bytes, first_idx, counts);
    case DType::kF16:
      return scan_words<std::uint16_t>(bytes, {0x7FFF, 0x7C00}, first_idx, 1, counts);
    case DType::kBF16:
      return scan_words<std::uint16_t>(bytes, {0x7FFF, 0x7F80}, first_idx, 1, counts);
    case DType::kF32:
      return scan_words<std::uint32_t>(bytes, {0x7FFFFFFF, 0x7F800000}, first_idx, 1, counts);
    case DType::kC64:  // pairs of FP32
      return scan_words<std::uint32_t>(bytes, {0x7FFFFFFF, 0x7F800000}, first_idx, 2, counts);
    case DType::kF64:
      return scan_words<std::uint64_t>(bytes, {0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000}, first_idx, 1, counts);
    default:
      return;
  }
}

void scan_row_scales(DType dtype, std::span<const std::byte> bytes, std::uint64_t first_idx, ScanCounts& counts) {
  scan_floats(dtype, bytes, first_idx, counts);
  if (dtype == DType::kF32) scan_negative<std::uint32_t>(bytes, 0x7F800000, first_idx, counts);
  if (dtype == DType::kBF16) scan_negative<std::uint16_t>(bytes, 0x7F80, first_idx, counts);
  if (dtype == DType::kF16) scan_negative<std::uint16_t>(bytes, 0x7C00, first_idx, counts);
}

}  // namespace nvfp4::checkpoint
