#include "models/decoder.h"

#include <algorithm>
#include <cassert>

#include "kernels/catalogue/embedding_catalogue.h"
#include "kernels/catalogue/row_catalogue.h"
#include "layers/profile.h"

namespace nvfp4::models {
namespace {

void add_to(std::span<float> hidden, std::span<const float> delta, const layers::Context& context) {
  constexpr std::size_t kGrain = 16384;
  context.pool.run_ranges(hidden.size(), kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
    context.rows.add(delta.data() + begin, hidden.data() + begin, end - begin, context.rounding());
  });
}

}  // namespace

void Decoder::forward(const layers::StepBatch& batch, layers::KvCache& cache, Workspace& workspace, WorkerPool& pool,
                      std::span<float> logits, HiddenTap* tap) const {
  const Workspace::Mark mark(workspace);
  const layers::Context context{workspace, pool, parts_.precision, kernels::row_kernels(parts_.instruction_set),
                                batch.profile};
  const auto num_tokens = static_cast<std::uint32_t>(batch.tokens.size());
  const std::size_t num_values = std::size_t{num_tokens} * parts_.shape.hidden_size;
  const std::span<float> hidden = workspace.take<float>(num_values);
  const std::span<float> normed = workspace.take<float>(num_values);
  const std::span<float> delta = workspace.take<float>(num_values);
  const std::span<float> angles = workspace.take<float>(std::size_t{num_tokens} * parts_.shape.kv.head_dim);

  {
    const layers::ProfileSpan span(context.profile, layers::Stage::kEmbedding);
    kernels::embedding_kernel().run(parts_.embedding.weight().view(), batch.tokens, hidden.data(), pool);
    context.round(hidden);
  }
  if (tap != nullptr) tap->take(0, hidden);
  parts_.rope.angles(batch, angles, context);
  for (std::uint32_t layer_idx = 0; layer_idx < parts_.layers.size(); ++layer_idx) {
    const DecoderLayer& layer = parts_.layers[layer_idx];
    layer.input_norm.run(hidden, normed, context);
    layer.attention.run(normed, batch, angles, layer_idx, cache, delta, context);
    add_to(hidden, delta, context);
    layer.post_attention_norm.run(hidden, normed, context);
    std::visit([&](const auto& ff) { ff.run(normed, num_tokens, delta, context); }, layer.feed_forward);
    add_to(hidden, delta, context);
    if (tap != nullptr) tap->take(layer_idx + 1, hidden);
  }
  compute_logits(batch, hidden, logits, context);
}

void Decoder::compute_logits(const layers::StepBatch& batch, std::span<const float> hidden, std::span<float> logits,
                             const layers::Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const std::size_t hidden_size = parts_.shape.hidden_size;
  const auto num_rows = static_cast<std::uint32_t>(batch.logit_rows.size());
  assert(logits.size() == std::size_t{num_rows} * parts_.shape.vocab_size);
  if (num_rows == 0) return;
  const std::span<float> normed = context.workspace.take<float>(num_rows * hidden_size);
  for (std::uint32_t row = 0; row < num_rows; ++row) {
    const layers::ProfileSpan span(context.profile, layers::Stage::kNorms);
    parts_.norm.apply(hidden.data() + batch.logit_rows[row] * hidden_size, normed.data() + row * hidden_size, 1,
                      context);
  }
  const layers::ProfileSpan span(context.profile, layers::Stage::kHead);
  head().run(normed, num_rows, logits, context);
}

std::size_t Decoder::workspace_bytes(std::uint32_t num_tokens, std::uint32_t num_logit_rows,
                                     std::size_t num_workers) const {
  std::size_t layer_bytes = 0;
  for (const DecoderLayer& layer : parts_.layers) {
    const auto feed_forward_bytes = [&](const auto& ff) { return ff.workspace_bytes(num_tokens, num_workers); };
    layer_bytes = std::max({layer_bytes, layer.attention.workspace_bytes(num_tokens, num_workers),
                            std::visit(feed_forward_bytes, layer.feed_forward)});
  }
  const std::size_t logit_bytes = Workspace::bytes_for<float>(std::size_t{num_logit_rows} * parts_.shape.hidden_size) +
                                  head().workspace_bytes(num_logit_rows, num_workers);
  return 3 * Workspace::bytes_for<float>(std::size_t{num_tokens} * parts_.shape.hidden_size) +
         Workspace::bytes_for<float>(std::size_t{num_tokens} * parts_.shape.kv.head_dim) +
         std::max(layer_bytes, logit_bytes);
}

}  // namespace nvfp4::models
