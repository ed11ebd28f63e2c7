#include "layers/swiglu.h"

#include <algorithm>

#include "layers/profile.h"

namespace nvfp4::layers {

void silu_and_multiply(std::span<float> gate, std::span<const float> up, const Context& context) {
  const ProfileSpan span(context.profile, Stage::kActivation);
  constexpr std::size_t kGrain = 4096;
  context.pool.run_ranges(gate.size(), kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
    context.rows.gated(kernels::GateFunction::kSilu, gate.data() + begin, up.data() + begin, gate.data() + begin,
                       end - begin, context.rounding());
  });
}

void SwigluMlp::run(std::span<const float> x, std::uint32_t num_tokens, std::span<float> y,
                    const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const std::span<float> gate = context.workspace.take<float>(num_tokens * gate_.out_features());
  const std::span<float> up = context.workspace.take<float>(num_tokens * up_.out_features());
  {
    const ProfileSpan span(context.profile, Stage::kGateUp);
    gate_.run(x, num_tokens, gate, context);
    up_.run(x, num_tokens, up, context);
  }
  silu_and_multiply(gate, up, context);
  const ProfileSpan span(context.profile, Stage::kDown);
  down_.run(gate, num_tokens, y, context);
}

std::size_t SwigluMlp::workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const {
  std::size_t linear = 0;
  visit_linears([&](const Linear& l) { linear = std::max(linear, l.workspace_bytes(num_tokens, num_workers)); });
  return 2 * Workspace::bytes_for<float>(num_tokens * gate_.out_features()) + linear;
}

}  // namespace nvfp4::layers
