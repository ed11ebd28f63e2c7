#include "prepare/random_source.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/checked_math.h"
#include "checkpoint/config_document.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/schemes/schemes.h"
#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "formats/nvfp4_block.h"

namespace nvfp4::prepare {
namespace {

using checkpoint::ConfigDocument;
using checkpoint::DeclaredScheme;
using checkpoint::DeclaredWeights;
using checkpoint::ModuleClass;
using kernels::WeightFormat;

// Roots of the mean squares of the numbers made here.
constexpr double kE2m1Rms = 2.9262;        // sqrt(68.5 / 8): all 16 codes
constexpr double kBlockScaleRms = 1.0717;  // sqrt((49 + 64 + 81 + 100) / 256)
constexpr double kFp8Rms = 68.508;         // the bytes with bit 3 clear
constexpr std::size_t kPieceBytes = 1 << 20;
// An activation of unit variance stays below this, nearly always.
constexpr float kActivationRange = 8.0F;

// SplitMix64's output function.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

std::uint64_t hash_name(std::string_view name, std::uint64_t seed) {
  std::uint64_t hash = 0xCBF29CE484222325ULL ^ mix(seed + 0x9E3779B97F4A7C15ULL);
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

class RandomSource final : public WeightSource {
 public:
  RandomSource(checkpoint::QuantizationMap map, std::string label, std::uint64_t seed, ActivationRequest request,
               WorkerPool& pool)
      : map_(std::move(map)), label_(std::move(label)), seed_(seed), request_(request), pool_(pool) {}

  [[nodiscard]] bool has(std::string_view) const override { return false; }  // whatever is asked for is made

  [[nodiscard]] Result<PreparedWeight> matrix(const std::string& module, MatrixShape shape, bool has_bias) override {
    auto out = make(module, module, 1, shape);
    if (out && has_bias) out->bias.assign(shape.out_features, 0.0F);
    return out;
  }

  [[nodiscard]] Result<PreparedWeight> experts(const std::string& prefix, const std::string& projection,
                                               std::uint32_t num_experts, MatrixShape shape) override {
    return make(prefix + "." + projection, fmt::format("{}.0.{}", prefix, projection), num_experts, shape);
  }

  [[nodiscard]] Result<std::vector<float>> vector(const std::string&, std::uint64_t size) override {
    return std::vector<float>(size, 1.0F);
  }

  [[nodiscard]] Result<KvScales> kv_scales(const std::string&) const override { return KvScales{}; }
  [[nodiscard]] Status finish() const override { return {}; }

 private:
  [[nodiscard]] Result<PreparedWeight> make(const std::string& name, const std::string& module,
                                            std::uint32_t num_experts, MatrixShape shape) {
    PreparedWeight out;
    out.name = name;
    out.num_experts = num_experts;
    out.out_features = shape.out_features;
    out.in_features = shape.in_features;
    NVFP4_RETURN_IF_ERROR(set_scheme(module, out));
    const std::array<std::uint64_t, 4> bits = {num_experts, shape.out_features, shape.in_features,
                                               kernels::bits_per_weight(out.format)};
    const std::optional<std::uint64_t> num_bits = checked_product(bits);
    if (num_bits) {
      out.elements = LargeBuffer(*num_bits / 8);
      if (out.block_size != 0) out.block_scales = LargeBuffer(*num_bits / bits[3] / out.block_size);
    }
    if (!out.elements.valid() || (out.block_size != 0 && !out.block_scales.valid())) {
      return Error{ErrorCode::kIo, fmt::format("{}: \"{}\"", label_, name),
                   fmt::format("there is not enough memory for weights [{}, {}, {}]", num_experts, shape.out_features,
                               shape.in_features)};
    }
    fill(out);
    return out;
  }

  [[nodiscard]] static bool stays_plain(std::string_view module) {
    return module == "lm_head" || module.ends_with("embed_tokens") || module.ends_with("mlp.gate");
  }

  // A declaration for all layers means linear ones: embeddings are quantised where a table of modules names them.
  [[nodiscard]] const DeclaredScheme* declared_scheme(const std::string& module) const {
    if (!module.ends_with("embed_tokens")) return map_.resolve(module, ModuleClass::kLinear);
    return map_.targets_before_ignore ? map_.resolve(module, ModuleClass::kEmbedding) : nullptr;
  }

  Status set_scheme(const std::string& module, PreparedWeight& out) const {
    DeclaredScheme standard{DeclaredWeights::kNvfp4, Activation::kNvfp4Static, kNvfp4BlockSize,
                            "made up: no quantization_config"};
    const DeclaredScheme* scheme = map_.declared ? declared_scheme(module) : stays_plain(module) ? nullptr : &standard;
    if (scheme == nullptr) {
      out.scheme = "bf16";
      out.format = WeightFormat::kBF16;
      out.activation_reason = "not quantised";
      return {};
    }
    out.activation = scheme->activation;
    out.activation_reason = scheme->evidence;
    switch (scheme->weights) {
      case DeclaredWeights::kNvfp4:
        out.format = WeightFormat::kNvfp4;
        out.block_size = scheme->block_size == 0 ? kNvfp4BlockSize : scheme->block_size;
        out.scheme = out.activation == Activation::k16Bit ? "nvfp4_w4a16" : "nvfp4_w4a4";
        break;
      case DeclaredWeights::kFp8PerTensor:
      case DeclaredWeights::kFp8PerRow:
        out.format = WeightFormat::kFp8;
        out.scheme = "fp8";
        out.per_row_scale = scheme->weights == DeclaredWeights::kFp8PerRow;
        break;
      case DeclaredWeights::kUnsupported:
        return Error{ErrorCode::kUnsupported, label_,
                     fmt::format("declares a scheme for \"{}\" that is not supported", module)};
    }
    if (out.block_size != 0 && out.in_features % out.block_size != 0) {
      return Error{
          ErrorCode::kContradiction, fmt::format("{}: \"{}\"", label_, module),
          fmt::format("has {} input features, not a multiple of the block size {}", out.in_features, out.block_size)};
    }
    if (request_ == ActivationRequest::kW4A16) {
      out.activation = Activation::k16Bit;
      out.activation_reason = "16-bit activations on request";
    } else if (request_ == ActivationRequest::kW4A4 && out.format == WeightFormat::kNvfp4 &&
               out.activation == Activation::k16Bit) {
      out.activation = Activation::kNvfp4Dynamic;
      out.activation_reason = "NVFP4 activations on request, scale per token";
    }
    const bool fp4_input = out.activation == Activation::kNvfp4Static || out.activation == Activation::kNvfp4Dynamic;
    if (fp4_input && out.block_size != kNvfp4BlockSize) {
      return Error{
          ErrorCode::kUnsupported, fmt::format("{}: \"{}\"", label_, module),
          fmt::format("has blocks of {}, which do not go with NVFP4 activations; run it as w4a16", out.block_size)};
    }
    return {};
  }

  // Calls word_at(i) for 64-bit word i of the buffer, on all workers.
  template <class WordAt>
  void fill_words(LargeBuffer& buffer, WordAt word_at) {
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

  void fill(PreparedWeight& out) {
    const std::uint64_t key = hash_name(out.name, seed_);
    const bool is_embedding = out.name.ends_with("embed_tokens");  // looked up: nothing is summed
    const double spread = is_embedding ? 1.0 : 1.0 / std::sqrt(static_cast<double>(out.in_features));
    const auto random = [key](std::size_t i) { return mix(key + (i + 1) * 0x9E3779B97F4A7C15ULL); };
    switch (out.format) {
      case WeightFormat::kNvfp4: {
        fill_words(out.elements, random);
        // Block scales 7/8, 1, 1 1/8 and 1 1/4: codes 0x36, 0x38, 0x39, 0x3A.
        const std::uint64_t scale_key = mix(key);
        fill_words(out.block_scales, [scale_key](std::size_t i) {
          const std::uint64_t bits = mix(scale_key + i) & 0x0303030303030303ULL;  // 0..3 in each byte
          const std::uint64_t is_zero = ~(bits | bits >> 1U) & 0x0101010101010101ULL;
          return 0x3737373737373737ULL + bits - is_zero;
        });
        out.scale2.assign(out.num_experts, static_cast<float>(spread / (kE2m1Rms * kBlockScaleRms)));
        break;
      }
      case WeightFormat::kFp8:
        // Magnitudes up to 240 and no NaN: the exponent never is all ones.
        fill_words(out.elements, [&](std::size_t i) { return random(i) & 0xF7F7F7F7F7F7F7F7ULL; });
        out.scale2.assign(out.num_experts * (out.per_row_scale ? out.out_features : 1),
                          static_cast<float>(spread / kFp8Rms));
        break;
      default:
        fill_bf16(out, key, spread);
    }
    const bool is_static = out.activation == Activation::kNvfp4Static || out.activation == Activation::kFp8Static;
    const float range = out.format == WeightFormat::kNvfp4 ? kNvfp4Range : kE4m3Max;
    if (is_static) out.input_scale.assign(out.num_experts, kActivationRange / range);
  }

  // Uniform numbers of variance spread^2.
  void fill_bf16(PreparedWeight& out, std::uint64_t key, double spread) {
    const auto half_width = static_cast<float>(spread * std::sqrt(3.0));
    fill_words(out.elements, [key, half_width](std::size_t i) {
      std::uint64_t bits = mix(key + (i + 1) * 0x9E3779B97F4A7C15ULL);
      std::uint64_t word = 0;
      for (int element = 0; element < 4; ++element, bits >>= 16U) {
        const auto centred = static_cast<float>(static_cast<std::int32_t>(bits & 0xFFFFU) - 32768);
        word = word << 16U | encode_bf16(centred * (half_width / 32768.0F));
      }
      return word;
    });
  }

  checkpoint::QuantizationMap map_;
  std::string label_;
  std::uint64_t seed_;
  ActivationRequest request_;
  WorkerPool& pool_;
};

}  // namespace

Result<std::unique_ptr<WeightSource>> make_random_source(std::string_view config_json, std::string label,
                                                         std::uint64_t seed, ActivationRequest request,
                                                         WorkerPool& pool) {
  auto document = ConfigDocument::parse(config_json, label);
  NVFP4_RETURN_IF_ERROR(document);
  const std::optional<ConfigDocument> config(std::move(document).value());
  auto map = checkpoint::read_quantization_config(std::nullopt, config);
  NVFP4_RETURN_IF_ERROR(map);
  return std::unique_ptr<WeightSource>(
      std::make_unique<RandomSource>(std::move(map).value(), std::move(label), seed, request, pool));
}

}  // namespace nvfp4::prepare
