#include "prepare/random_weight.h"

#include <cmath>
#include <cstring>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "formats/float_bits.h"
#include "formats/fp16.h"
#include "formats/nvfp4_block.h"

namespace nvfp4::prepare {
namespace {

using kernels::WeightFormat;

// Roots of the mean squares of the numbers made here.
constexpr double kE2m1Rms = 2.9262;        // sqrt(68.5 / 8): all 16 codes
constexpr double kBlockScaleRms = 1.0717;  // sqrt((49 + 64 + 81 + 100) / 256)
constexpr double kFp8Rms = 68.508;         // the bytes with bit 3 clear
constexpr std::size_t kPieceBytes = 1 << 20;
// An activation of unit variance stays below this, nearly always.
constexpr float kActivationRange = 8.0F;

class Filler {
 public:
  Filler(PreparedWeight& weight, std::uint64_t key, double spread, WorkerPool& pool)
      : weight_(weight), key_(key), spread_(spread), pool_(pool) {}

  void fill() {
    switch (weight_.format) {
      case WeightFormat::kNvfp4:
        fill_nvfp4();
        break;
      case WeightFormat::kFp8:
        // Magnitudes up to 240 and no NaN: the exponent never is all ones.
        fill_words(weight_.elements, [this](std::size_t i) { return random(i) & 0xF7F7F7F7F7F7F7F7ULL; });
        weight_.scale2.assign(weight_.num_experts * (weight_.per_row_scale ? weight_.out_features : 1),
                              static_cast<float>(spread_ / kFp8Rms));
        break;
      case WeightFormat::kBF16:
        fill_plain<16>(encode_bf16);
        break;
      case WeightFormat::kF16:
        fill_plain<16>(encode_fp16);
        break;
      case WeightFormat::kF32:
        fill_plain<32>(float_bits);
        break;
    }
    const bool is_static =
        weight_.activation == Activation::kNvfp4Static || weight_.activation == Activation::kFp8Static;
    const float range = weight_.format == WeightFormat::kNvfp4 ? kNvfp4Range : kE4m3Max;
    if (is_static) weight_.input_scale.assign(weight_.num_experts, kActivationRange / range);
  }

 private:
  [[nodiscard]] std::uint64_t random(std::size_t i) const { return mix_bits(key_ + (i + 1) * 0x9E3779B97F4A7C15ULL); }

  // Calls word_at(i) for 64-bit word i of the buffer, on all workers.
  template <class Buffer, class WordAt>
  void fill_words(Buffer& buffer, WordAt word_at) {
    pool_.run_ranges(buffer.size(), kPieceBytes, [&](std::size_t begin, std::size_t end, std::size_t) {
      std::size_t at = begin;
      for (; at + 8 <= end; at += 8) {
        const std::uint64_t word = word_at(at / 8);
        std::memcpy(buffer.data() + at, &word, 8);
      }
      const std::uint64_t last = word_at(at / 8);
      std::memcpy(buffer.data() + at, &last, end - at);
    });
  }

  void fill_nvfp4() {
    fill_words(weight_.elements, [this](std::size_t i) { return random(i); });
    // Block scales 7/8, 1, 1 1/8 and 1 1/4: codes 0x36, 0x38, 0x39, 0x3A.
    const std::uint64_t scale_key = mix_bits(key_);
    fill_words(weight_.block_scales, [scale_key](std::size_t i) {
      const std::uint64_t bits = mix_bits(scale_key + i) & 0x0303030303030303ULL;  // 0..3 in each byte
      const std::uint64_t is_zero = ~(bits | bits >> 1U) & 0x0101010101010101ULL;
      return 0x3737373737373737ULL + bits - is_zero;
    });
    weight_.scale2.assign(weight_.num_experts, static_cast<float>(spread_ / (kE2m1Rms * kBlockScaleRms)));
  }

  // Uniform numbers of variance spread^2, kBits each.
  template <unsigned kBits, class Encode>
  void fill_plain(Encode encode) {
    const auto half_width = static_cast<float>(spread_ * std::sqrt(3.0));
    fill_words(weight_.elements, [this, half_width, encode](std::size_t i) {
      std::uint64_t bits = random(i);
      std::uint64_t word = 0;
      for (unsigned element = 0; element < 64 / kBits; ++element, bits >>= 16U) {
        const auto centred = static_cast<float>(static_cast<std::int32_t>(bits & 0xFFFFU) - 32768);
        word = word << kBits | encode(centred * (half_width / 32768.0F));
      }
      return word;
    });
  }

  PreparedWeight& weight_;
  std::uint64_t key_;
  double spread_;
  WorkerPool& pool_;
};

}  // namespace

bool fill_random(PreparedWeight& weight, std::uint64_t key, double spread, WorkerPool& pool) {
  if (!weight.allocate()) return false;
  Filler(weight, key, spread, pool).fill();
  return true;
}

}  // namespace nvfp4::prepare
