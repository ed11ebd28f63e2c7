#include "prepare/random_source.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

#include "checkpoint/config_document.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/schemes/schemes.h"
#include "formats/nvfp4_block.h"
#include "prepare/random_weight.h"

namespace nvfp4::prepare {
namespace {

using checkpoint::ConfigDocument;
using checkpoint::DeclaredScheme;
using checkpoint::DeclaredWeights;
using checkpoint::ModuleClass;
using kernels::WeightFormat;

std::uint64_t hash_name(std::string_view name, std::uint64_t seed) {
  std::uint64_t hash = 0xCBF29CE484222325ULL ^ mix_bits(seed + 0x9E3779B97F4A7C15ULL);
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
    const bool is_embedding = name.ends_with("embed_tokens");  // looked up: nothing is summed
    const double spread = is_embedding ? 1.0 : 1.0 / std::sqrt(static_cast<double>(out.in_features));
    if (!fill_random(out, hash_name(name, seed_), spread, pool_)) {
      return Error{ErrorCode::kIo, fmt::format("{}: \"{}\"", label_, name),
                   fmt::format("there is not enough memory for weights [{}, {}, {}]", num_experts, shape.out_features,
                               shape.in_features)};
    }
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
    const bool is_nvfp4 = out.format == WeightFormat::kNvfp4;
    const auto choice = checkpoint::choose_activation({is_nvfp4, out.block_size, out.activation, false}, request_,
                                                      fmt::format("{}: \"{}\"", label_, module));
    NVFP4_RETURN_IF_ERROR(choice);
    out.activation = choice->activation;
    if (!choice->reason.empty()) out.activation_reason = choice->reason;
    const bool fp4_input = out.activation == Activation::kNvfp4Static || out.activation == Activation::kNvfp4Dynamic;
    if (fp4_input && out.block_size != kNvfp4BlockSize) {
      return Error{
          ErrorCode::kUnsupported, fmt::format("{}: \"{}\"", label_, module),
          fmt::format("has blocks of {}, which do not go with NVFP4 activations; run it as w4a16", out.block_size)};
    }
    return {};
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
