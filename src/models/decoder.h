// The chain that all models here share: embedding, pre-norm layers of attention and feed-forward, norm, head. An
// architecture's file says which parts it is made of.
//
//   h = embed[token];  per layer: h += attention(norm(h)), h += feed_forward(norm(h));  logits = norm(h) Whead
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/cpu_features.h"
#include "layers/attention.h"
#include "layers/context.h"
#include "layers/linear.h"
#include "layers/rms_norm.h"
#include "layers/rope.h"
#include "layers/sparse_moe.h"
#include "layers/swiglu.h"
#include "models/model.h"

namespace nvfp4::models {

struct DecoderLayer {
  layers::RmsNorm input_norm;
  layers::Attention attention;
  layers::RmsNorm post_attention_norm;
  std::variant<layers::SwigluMlp, layers::SparseMoe> feed_forward;
};

struct DecoderParts {
  ModelShape shape;
  layers::Precision precision = layers::Precision::kBF16;
  InstructionSet instruction_set = InstructionSet::kPortable;
  plan::Plan plan;
  layers::Rope rope;
  layers::Linear embedding;  // [vocab, hidden], looked up; also the head when there is no other
  std::vector<DecoderLayer> layers;
  layers::RmsNorm norm;
  std::optional<layers::Linear> head;  // nothing: tied to the embedding
};

class Decoder final : public LanguageModel {
 public:
  explicit Decoder(DecoderParts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] const ModelShape& shape() const override { return parts_.shape; }
  [[nodiscard]] const plan::Plan& plan() const override { return parts_.plan; }
  [[nodiscard]] std::size_t workspace_bytes(std::uint32_t num_tokens, std::uint32_t num_logit_rows,
                                            std::size_t num_workers) const override;
  void forward(const layers::StepBatch& batch, layers::KvCache& cache, Workspace& workspace, WorkerPool& pool,
               std::span<float> logits, HiddenTap* tap) const override;

 private:
  [[nodiscard]] const layers::Linear& head() const { return parts_.head ? *parts_.head : parts_.embedding; }
  void compute_logits(const layers::StepBatch& batch, std::span<const float> hidden, std::span<float> logits,
                      const layers::Context& context) const;

  DecoderParts parts_;
};

}  // namespace nvfp4::models
