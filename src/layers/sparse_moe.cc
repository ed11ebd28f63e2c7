#include "layers/sparse_moe.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "layers/profile.h"

namespace nvfp4::layers {
namespace {

// The rows of a grouped layer: token t's choice j is row row_of[t * top_k + j], and rows of one expert are neighbours.
struct Grouping {
  std::span<std::uint32_t> offsets;  // [experts + 1]
  std::span<std::uint32_t> row_of;   // [tokens * top_k]
};

Grouping group_by_expert(std::span<const Routing> chosen, std::uint32_t num_experts, Workspace& workspace) {
  const Grouping grouping{workspace.take<std::uint32_t>(num_experts + 1), workspace.take<std::uint32_t>(chosen.size())};
  std::fill(grouping.offsets.begin(), grouping.offsets.end(), 0U);
  for (const Routing& routing : chosen) ++grouping.offsets[routing.expert + 1];
  std::partial_sum(grouping.offsets.begin(), grouping.offsets.end(), grouping.offsets.begin());
  const std::span<std::uint32_t> next = workspace.take<std::uint32_t>(num_experts);
  std::copy_n(grouping.offsets.begin(), num_experts, next.begin());
  for (std::size_t i = 0; i < chosen.size(); ++i) grouping.row_of[i] = next[chosen[i].expert]++;
  return grouping;
}

// Largest first, the lower expert first among equals. NaN is above all numbers: it is chosen, and so seen.
struct ByLogit {
  std::span<const float> logits;

  bool operator()(std::uint32_t a, std::uint32_t b) const {
    const float x = logits[a];
    const float y = logits[b];
    if (std::isnan(x) || std::isnan(y)) return std::isnan(x) != std::isnan(y) ? std::isnan(x) : a < b;
    return x > y || (x == y && a < b);
  }
};

}  // namespace

void choose_experts(std::span<const float> logits, bool normalize, std::span<std::uint32_t> order,
                    std::span<Routing> chosen, const Context& context) {
  std::iota(order.begin(), order.end(), 0U);
  // Without normalisation the softmax needs all experts in an order of its own.
  const std::size_t num_sorted = normalize ? chosen.size() : order.size();
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(num_sorted), order.end(),
                    ByLogit{logits});
  const float largest = logits[order[0]];
  float sum = 0.0F;
  for (std::size_t i = 0; i < num_sorted; ++i) sum += std::exp(logits[order[i]] - largest);
  for (std::size_t j = 0; j < chosen.size(); ++j) {
    chosen[j] = {order[j], context.round(std::exp(logits[order[j]] - largest) / sum)};
  }
}

void SparseMoe::route(std::span<const float> x, std::uint32_t num_tokens, std::span<Routing> chosen,
                      const Context& context) const {
  const ProfileSpan span(context.profile, Stage::kRouter);
  const Workspace::Mark mark(context.workspace);
  const std::span<float> logits = context.workspace.take<float>(std::size_t{num_tokens} * num_experts());
  const std::span<std::uint32_t> order =
      context.workspace.take<std::uint32_t>(std::size_t{num_experts()} * context.pool.num_workers());
  router_.run(x, num_tokens, logits, context);
  context.pool.run(num_tokens, [&](std::size_t t, std::size_t worker_idx) {
    choose_experts(logits.subspan(t * num_experts(), num_experts()), normalize_,
                   order.subspan(worker_idx * num_experts(), num_experts()), chosen.subspan(t * top_k_, top_k_),
                   context);
  });
}

void SparseMoe::run_inner(std::span<const float> rows, std::uint32_t num_rows, std::span<const std::uint32_t> offsets,
                          std::span<float> inner, const Context& context) const {
  const ProfileSpan span(context.profile, Stage::kGateUp);
  if (gate_) return Linear::run_gated(*gate_, up_, function_, rows, num_rows, inner, context, offsets);
  up_.run(rows, num_rows, inner, context, offsets);
  const ProfileSpan activation(context.profile, Stage::kActivation);
  constexpr std::size_t kGrain = 4096;
  context.pool.run_ranges(inner.size(), kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
    context.rows.relu2(inner.data() + begin, inner.data() + begin, end - begin, context.rounding());
  });
}

void SparseMoe::run(std::span<const float> x, std::uint32_t num_tokens, std::span<float> y,
                    const Context& context) const {
  const ProfileSpan span(context.profile, Stage::kExpertSum);
  const Workspace::Mark mark(context.workspace);
  Workspace& workspace = context.workspace;
  const std::uint32_t num_rows = num_tokens * top_k_;
  const std::size_t hidden = up_.in_features();
  const std::span<Routing> chosen = workspace.take<Routing>(num_rows);
  route(x, num_tokens, chosen, context);
  const Grouping grouping = group_by_expert(chosen, num_experts(), workspace);

  const std::span<float> rows = workspace.take<float>(num_rows * hidden);
  context.pool.run(num_tokens, [&](std::size_t t, std::size_t) {
    for (std::uint32_t j = 0; j < top_k_; ++j) {
      std::copy_n(x.data() + t * hidden, hidden, rows.data() + grouping.row_of[t * top_k_ + j] * hidden);
    }
  });
  const std::span<float> inner = workspace.take<float>(num_rows * up_.out_features());
  run_inner(rows, num_rows, grouping.offsets, inner, context);
  {
    const ProfileSpan down(context.profile, Stage::kDown);
    down_.run(inner, num_rows, rows, context, grouping.offsets);
  }

  context.pool.run(num_tokens, [&](std::size_t t, std::size_t) {
    float* const out = y.data() + t * hidden;
    std::fill_n(out, hidden, 0.0F);
    for (std::uint32_t j = 0; j < top_k_; ++j) {
      const float* const row = rows.data() + grouping.row_of[t * top_k_ + j] * hidden;
      context.rows.accumulate(chosen[t * top_k_ + j].weight, row, out, hidden);
    }
    context.round({out, hidden});
  });
}

std::size_t SparseMoe::workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const {
  const std::uint32_t num_rows = num_tokens * top_k_;
  const std::size_t grouping = Workspace::bytes_for<Routing>(num_rows) +
                               2 * Workspace::bytes_for<std::uint32_t>(num_experts() + 1) +
                               Workspace::bytes_for<std::uint32_t>(num_rows);
  const std::size_t routing = Workspace::bytes_for<float>(std::size_t{num_tokens} * num_experts()) +
                              Workspace::bytes_for<std::uint32_t>(num_experts() * num_workers) +
                              router_.workspace_bytes(num_tokens, num_workers);
  const std::size_t inner = gate_ ? Linear::gated_workspace_bytes(*gate_, up_, num_rows, num_workers)
                                  : up_.workspace_bytes(num_rows, num_workers);
  const std::size_t rows = Workspace::bytes_for<float>(num_rows * up_.in_features()) +
                           Workspace::bytes_for<float>(num_rows * up_.out_features());
  return grouping + std::max(routing, rows + std::max(inner, down_.workspace_bytes(num_rows, num_workers)));
}

}  // namespace nvfp4::layers
