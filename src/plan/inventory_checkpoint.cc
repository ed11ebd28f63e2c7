// A checkpoint's matrices by layer: names say which layer a weight is of and which expert's, descriptions all else.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <utility>

#include "plan/inventory.h"

namespace nvfp4::plan {
namespace {

using kernels::WeightFormat;

enum class Projection : std::uint8_t { kGate, kUp, kDown, kGateUp };
constexpr std::size_t kNumProjections = 4;

struct ProjectionName {
  std::string_view name;
  Projection projection;
};
constexpr std::array<ProjectionName, 11> kProjections = {{{"gate_proj", Projection::kGate},
                                                          {"up_proj", Projection::kUp},
                                                          {"down_proj", Projection::kDown},
                                                          {"gate_up_proj", Projection::kGateUp},
                                                          {"w1", Projection::kGate},
                                                          {"w3", Projection::kUp},
                                                          {"w2", Projection::kDown},
                                                          {"w13", Projection::kGateUp},
                                                          {"w13_weight", Projection::kGateUp},
                                                          {"w2_weight", Projection::kDown},
                                                          {"gate_up", Projection::kGateUp}}};

// "model.layers.3.mlp.experts.17.up_proj" is of the experts "model.layers.3.mlp.experts".
struct ExpertName {
  std::string_view prefix;
  Projection projection;
};
std::optional<ExpertName> expert_name(std::string_view module) {
  constexpr std::string_view kExperts = ".experts.";
  const std::size_t at = module.rfind(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view last = module.substr(module.rfind('.') + 1);
  for (const ProjectionName& known : kProjections) {
    if (known.name == last) return ExpertName{module.substr(0, at + kExperts.size() - 1), known.projection};
  }
  return std::nullopt;
}

bool is_embedding(std::string_view kind) {
  constexpr std::array<std::string_view, 5> kNames = {"embed_tokens", "embeddings", "wte", "word_embeddings",
                                                      "tok_embeddings"};
  return std::find(kNames.begin(), kNames.end(), kind) != kNames.end();
}

std::optional<WeightFormat> format_of(const DescribedTensor& weight) {
  if (weight.scheme == Scheme::kFp8) return WeightFormat::kFp8;
  if (weight.scheme != Scheme::kPlain) return WeightFormat::kNvfp4;
  switch (weight.dtype) {
    case DType::kBF16:
      return WeightFormat::kBF16;
    case DType::kF16:
      return WeightFormat::kF16;
    case DType::kF32:
      return WeightFormat::kF32;
    default:
      return std::nullopt;
  }
}

bool same_kind(const DescribedTensor& a, const DescribedTensor& b) {
  return a.scheme == b.scheme && a.dtype == b.dtype && a.block_size == b.block_size &&
         a.per_row_scale == b.per_row_scale && a.convention == b.convention && a.activation == b.activation &&
         std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end());
}

// The experts of one layer, as their weights come by.
struct Experts {
  struct Part {
    const DescribedTensor* first = nullptr;
    std::uint32_t num_weights = 0;
    bool one_input_scale = true;
  };
  std::array<Part, kNumProjections> parts;

  [[nodiscard]] const Part& part(Projection projection) const { return parts[static_cast<std::size_t>(projection)]; }
};

void set_scheme(const DescribedTensor& weight, WeightFormat format, Layer& layer) {
  layer.weight = format;
  layer.activation = weight.activation;
  layer.has_input_scale = !weight.input_scale.empty();
  layer.block_size = weight.block_size;
  layer.per_row_scale = weight.per_row_scale;
  layer.has_pre_quant_scale = weight.pre_quant_scale != nullptr;
  layer.is_transposed = weight.transposed;
  const bool divides = format == WeightFormat::kNvfp4 && weight.convention == ScaleConvention::kDivisor;
  if (divides) layer.input_rule = QuantizerRule::kCompressedTensors;
}

class Reader {
 public:
  Reader(const Checkpoint& checkpoint, std::string label, LayerFacts facts)
      : checkpoint_(checkpoint), label_(std::move(label)), facts_(std::move(facts)) {}

  Result<Inventory> read() {
    Inventory out;
    out.architecture = checkpoint_.architecture();
    for (const DescribedTensor& weight : checkpoint_.weights()) {
      auto taken = take(weight);
      NVFP4_RETURN_IF_ERROR(taken);
      if (*taken) continue;
      ++out.num_others;
      out.other_bytes += weight.data == nullptr ? 0 : weight.data->num_bytes();
    }
    for (const std::string_view prefix : prefixes_) {
      auto layer = expert_layer(prefix, experts_.at(prefix));
      NVFP4_RETURN_IF_ERROR(layer);
      list_.add(std::move(layer).value());
    }
    add_tied_head();
    out.layers = list_.take();
    return out;
  }

 private:
  // False: it is no matrix of a layer.
  Result<bool> take(const DescribedTensor& weight) {
    std::string_view module = weight.name;
    const bool has_suffix = module.ends_with(".weight");
    if (has_suffix) module.remove_suffix(7);
    if (const auto expert = expert_name(module); expert && weight.shape.size() >= 2) {
      NVFP4_RETURN_IF_ERROR(take_expert(weight, *expert));
      return true;
    }
    const auto format = format_of(weight);
    if (!has_suffix || weight.shape.size() != 2 || !format) return false;
    Layer layer;
    layer.kind = layer_kind(module);
    if (is_embedding(layer.kind)) layer.operation = Operation::kEmbedding;
    set_scheme(weight, *format, layer);
    layer.out_features = weight.out_features();
    layer.in_features = weight.in_features();
    layer.num_shards = static_cast<std::uint32_t>(weight.num_shards());
    layer.has_bias = checkpoint_.find(std::string(module) + ".bias") != nullptr;
    set_cut(facts_, layer);
    has_head_ = has_head_ || layer.kind == "lm_head";
    if (layer.operation == Operation::kEmbedding && !embedding_) embedding_ = layer;
    list_.add(std::move(layer));
    return true;
  }

  Status take_expert(const DescribedTensor& weight, const ExpertName& name) {
    auto found = last_experts_ != nullptr && last_prefix_ == name.prefix ? nullptr : &experts_[name.prefix];
    if (found != nullptr) {
      if (known_.emplace(name.prefix, true).second) prefixes_.push_back(name.prefix);
      last_prefix_ = name.prefix;
      last_experts_ = found;
    }
    Experts::Part& part = last_experts_->parts[static_cast<std::size_t>(name.projection)];
    ++part.num_weights;
    if (part.first == nullptr) part.first = &weight;
    for (const float scale : weight.input_scale) {
      part.one_input_scale = part.one_input_scale && scale == part.first->input_scale[0];
    }
    if (same_kind(weight, *part.first)) return {};
    return Error{ErrorCode::kUnsupported, fmt::format("{}: tensor \"{}\"", label_, weight.name),
                 fmt::format("is {}, \"{}\" is {}; the experts of a layer must be alike, in scheme and shape",
                             scheme_name(weight), part.first->name, scheme_name(*part.first))};
  }

  // An Error that names the first expert that one projection has and the other one lacks.
  Status find_missing(std::string_view prefix, const Experts::Part& a, const Experts::Part& b) const {
    for (std::uint32_t e = 0; e < std::max(a.num_weights, b.num_weights); ++e) {
      std::array<std::string, 2> names;
      for (const std::size_t i : {0U, 1U}) {
        const std::string_view first = (i == 0 ? a : b).first->name;
        std::string_view module = first;
        if (module.ends_with(".weight")) module.remove_suffix(7);
        const std::string_view suffix = first.substr(module.rfind('.'));
        names.at(i) = fmt::format("{}.{}{}", prefix, e, suffix);
      }
      for (const std::size_t i : {0U, 1U}) {
        if (checkpoint_.find(names.at(i)) != nullptr || checkpoint_.find(names.at(1 - i)) == nullptr) continue;
        return Error{ErrorCode::kNotFound, fmt::format("{}: tensor \"{}\"", label_, names.at(i)),
                     fmt::format("is missing, but \"{}\" is there; is the download complete?", names.at(1 - i))};
      }
    }
    return {};
  }

  Result<Layer> expert_layer(std::string_view prefix, const Experts& experts) const {
    const Experts::Part& gate = experts.part(Projection::kGate);
    const Experts::Part& fused = experts.part(Projection::kGateUp);
    const Experts::Part& up = fused.first != nullptr ? fused : experts.part(Projection::kUp);
    const Experts::Part& down = experts.part(Projection::kDown);
    if (up.first == nullptr || down.first == nullptr) {
      return Error{ErrorCode::kNotFound, fmt::format("{}: \"{}\"", label_, prefix),
                   fmt::format("has no {} projection; is the download complete?", up.first == nullptr ? "up" : "down")};
    }
    for (const Experts::Part* part : {&gate, &down}) {
      if (part->first == nullptr) continue;
      const DescribedTensor& weight = *part->first;
      const bool agrees = weight.scheme == up.first->scheme && weight.dtype == up.first->dtype &&
                          weight.block_size == up.first->block_size && weight.activation == up.first->activation;
      if (agrees && part->num_weights == up.num_weights) continue;
      if (agrees) NVFP4_RETURN_IF_ERROR(find_missing(prefix, *part, up));
      return Error{
          ErrorCode::kUnsupported, fmt::format("{}: tensor \"{}\"", label_, weight.name),
          fmt::format("is {} in {} tensors, \"{}\" {} in {}; the projections of experts must agree",
                      scheme_name(weight), part->num_weights, up.first->name, scheme_name(*up.first), up.num_weights)};
    }
    const auto format = format_of(*up.first);
    if (!format) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: tensor \"{}\"", label_, up.first->name),
                   fmt::format("has elements of type {}", dtype_name(up.first->dtype))};
    }
    Layer layer;
    layer.kind = layer_kind(prefix);
    layer.operation = Operation::kExperts;
    set_scheme(*up.first, *format, layer);
    const bool is_fused = fused.first != nullptr;
    layer.num_experts =
        static_cast<std::uint32_t>(up.first->shape.size() == 3 ? up.first->num_experts() : up.num_weights);
    layer.out_features = up.first->out_features() / (is_fused ? 2 : 1);
    layer.in_features = up.first->in_features();
    const bool same_gate_scale = gate.first == nullptr || gate.first->input_scale.empty() ||
                                 (gate.one_input_scale && gate.first->input_scale[0] == up.first->input_scale[0]);
    layer.one_fc1_input_scale = up.one_input_scale && same_gate_scale;
    layer.cut = Cut::kRows;
    NVFP4_RETURN_IF_ERROR(set_expert_facts(facts_, is_fused || gate.first != nullptr, label_, layer));
    return layer;
  }

  // The embedding's weight is multiplied with, too; it takes no memory of its own.
  void add_tied_head() {
    if (has_head_ || !facts_.tied_head || !embedding_) return;
    Layer head = *embedding_;
    head.kind = "lm_head";
    head.operation = Operation::kLinear;
    head.cut = Cut::kRows;
    head.is_tied = true;
    list_.add(std::move(head));
  }

  const Checkpoint& checkpoint_;
  std::string label_;
  LayerFacts facts_;
  LayerList list_;
  std::unordered_map<std::string_view, Experts> experts_;
  std::unordered_map<std::string_view, bool> known_;
  std::vector<std::string_view> prefixes_;  // of experts_, as they came
  std::string_view last_prefix_;
  Experts* last_experts_ = nullptr;  // nodes of an unordered_map stay where they are
  std::optional<Layer> embedding_;
  bool has_head_ = false;
};

}  // namespace

Result<Inventory> layers_of(const Checkpoint& checkpoint, const std::string& label) {
  LayerFacts facts;
  if (!checkpoint.config_json().empty()) {
    auto document = checkpoint::ConfigDocument::parse(checkpoint.config_json(), label + "/config.json");
    NVFP4_RETURN_IF_ERROR(document);
    auto read = read_layer_facts(*document);
    NVFP4_RETURN_IF_ERROR(read);
    facts = std::move(read).value();
  }
  return Reader(checkpoint, label, std::move(facts)).read();
}

}  // namespace nvfp4::plan
