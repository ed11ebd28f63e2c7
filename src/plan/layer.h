// A kind of layer of a model: what is multiplied in it, and in how many layers. What a plan is made for.
//
// Its text is one line, which reads the problems of `nvfp4 bench` and a little more:
//
//   48 self_attn.q_proj linear/w4a4/n4096/k2048
//   48 mlp.experts moe/w4a16/silu/h2048/i768/e128/k8
//   1 embed_tokens embedding/bf16/n151936/k2048
//
//   schemes   w4a16, w4a4, w4a4-token, fp8, w8a8, w8a8-token, bf16, f16, f32; -token: a scale for each token
//   then      block32: columns of a block scale; rows: a scale for each row; bias; awq: a factor for each column;
//             shards3: scales of 3 row ranges; ownscales: experts have input scales of their own; odd: a block scale is
//             negative or NaN; tied: the weight is the embedding's
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/device_moe.h"
#include "kernels/contract/linear.h"
#include "nvfp4/result.h"

namespace nvfp4::plan {

enum class Operation : std::uint8_t { kLinear, kExperts, kEmbedding };

// How ranks of tensor parallelism share a weight.
enum class Cut : std::uint8_t {
  kNone,     // every rank has all of it
  kRows,     // out_features; of experts: intermediate
  kColumns,  // in_features
};

struct Layer {
  std::string kind;  // "self_attn.q_proj", "mlp.experts", "lm_head"
  std::uint32_t num_layers = 1;
  Operation operation = Operation::kLinear;
  kernels::WeightFormat weight = kernels::WeightFormat::kBF16;
  Activation activation = Activation::k16Bit;  // as the checkpoint asks
  QuantizerRule input_rule = QuantizerRule::kModelOpt;
  bool has_input_scale = false;
  std::uint32_t block_size = 0;  // NVFP4
  // Experts: of gate and up, [intermediate, hidden]; down is [hidden, intermediate].
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
  std::uint32_t num_shards = 1;
  bool per_row_scale = false;
  bool has_bias = false;
  bool has_pre_quant_scale = false;
  bool is_transposed = false;  // in the file: no loader brings it into order
  bool odd_scales = false;     // a block scale is negative or NaN, which loading finds
  bool is_tied = false;        // its weight is that of the embedding, and counted there
  Cut cut = Cut::kNone;
  std::uint32_t row_unit = 1;  // rows that stay together: a head
  // Experts.
  kernels::ExpertFunction function = kernels::ExpertFunction::kSilu;
  float swiglu_limit = 0;  // 0: none
  std::uint32_t num_experts = 1;
  std::uint32_t top_k = 1;
  bool one_fc1_input_scale = true;
  bool router_weight_on_input = false;

  [[nodiscard]] bool gated() const { return kernels::is_gated(function); }
};

// "nvfp4_w4a4", "nvfp4_w4a16", "fp8", "bf16", "fp16", "fp32": the scheme's name, as the checkpoint has it.
[[nodiscard]] std::string_view layer_scheme(const Layer& layer);
// "linear/w4a4/n4096/k2048"; the same with the number of layers and the kind before it.
[[nodiscard]] std::string problem_text(const Layer& layer);
[[nodiscard]] std::string layer_text(const Layer& layer);
// `where` begins errors: a file and a line.
[[nodiscard]] Result<Layer> parse_layer(std::string_view line, const std::string& where);

// "model.layers.7.mlp.gate" -> "mlp.gate"; "lm_head" stays.
[[nodiscard]] std::string layer_kind(std::string_view module);

// The cut that the last part of a kind's name means: o_proj and down_proj add up over ranks, q_proj gives rows.
[[nodiscard]] Cut cut_of(const Layer& layer);

}  // namespace nvfp4::plan
