#include "layers/swiglu.h"

#include <algorithm>

#include "layers/profile.h"

namespace nvfp4::layers {

void SwigluMlp::run(std::span<const float> x, std::uint32_t num_tokens, std::span<float> y,
                    const Context& context) const {
  const Workspace::Mark mark(context.workspace);
  const std::span<float> inner = context.workspace.take<float>(num_tokens * gate_.out_features());
  {
    const ProfileSpan span(context.profile, Stage::kGateUp);
    Linear::run_gated(gate_, up_, kernels::GateFunction::kSilu, x, num_tokens, inner, context);
  }
  const ProfileSpan span(context.profile, Stage::kDown);
  down_.run(inner, num_tokens, y, context);
}

std::size_t SwigluMlp::workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const {
  return Workspace::bytes_for<float>(num_tokens * gate_.out_features()) +
         std::max(Linear::gated_workspace_bytes(gate_, up_, num_tokens, num_workers),
                  down_.workspace_bytes(num_tokens, num_workers));
}

}  // namespace nvfp4::layers
