// The layers of a model: of a checkpoint, by its headers alone; of a configuration, with the schemes that it declares;
// or of a list. Alike ones are counted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config_document.h"
#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"
#include "plan/layer.h"

namespace nvfp4::plan {

struct Inventory {
  std::string architecture;
  std::vector<Layer> layers;     // embedding first, head last
  std::uint64_t num_others = 0;  // tensors that are no matrices of a layer: norms, convolutions
  std::uint64_t other_bytes = 0;
};

// `label` (the directory, or a file) begins errors.
[[nodiscard]] Result<Inventory> layers_of(const Checkpoint& checkpoint, const std::string& label);
// Of decoders that can be run. Without a quantization_config, every linear layer but head and routers is NVFP4 W4A4.
[[nodiscard]] Result<Inventory> layers_of_config(std::string_view config_json, const std::string& label);
// Lines as parse_layer() reads them; empty ones and those that begin with # are skipped.
[[nodiscard]] Result<Inventory> parse_layers(std::string_view text, const std::string& label);

// What a configuration says of layers besides their sizes.
struct LayerFacts {
  std::uint32_t top_k = 0;
  std::string function;  // "silu", as the file spells it; empty: not said
  float swiglu_limit = 0;
  std::uint32_t head_dim = 0;
  bool gated_attention = false;  // q_proj has a gate beside each head
  bool tied_head = false;
  bool router_weight_on_input = false;
};
[[nodiscard]] Result<LayerFacts> read_layer_facts(const checkpoint::ConfigDocument& config);

// Sets function, top_k and what else the configuration says of an experts' layer; has_gate: whether there is a gate
// projection.
[[nodiscard]] Status set_expert_facts(const LayerFacts& facts, bool has_gate, const std::string& label, Layer& layer);
// Cut and row unit of a linear layer.
void set_cut(const LayerFacts& facts, Layer& layer);

// Adds up layers of the same kind and problem.
class LayerList {
 public:
  void add(Layer layer);
  [[nodiscard]] std::vector<Layer> take() const;

 private:
  std::vector<Layer> layers_;
  std::vector<std::string> texts_;
};

}  // namespace nvfp4::plan
