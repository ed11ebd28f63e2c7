// A layer of experts of which each token uses a few (Qwen3-MoE):
//
//   p = softmax(x Wrouter) over all experts;  the top_k largest;  weights p, divided by their sum if normalize
//   y = sum of weight * expert(x) over the chosen, largest weight first
//   expert(x) = down(f(gate(x)) * up(x)), f SiLU or GELU; without a gate down(max(up(x), 0)^2)
//
// The order of the sum and of the softmax follows the logits, not the numbers of the experts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "layers/context.h"
#include "layers/linear.h"

namespace nvfp4::layers {

struct Routing {
  std::uint32_t expert = 0;
  float weight = 0.0F;
};

// logits [num_experts] of one token -> chosen [top_k], largest first; equal logits: the lower expert first. order is
// scratch [num_experts].
void choose_experts(std::span<const float> logits, bool normalize, std::span<std::uint32_t> order,
                    std::span<Routing> chosen, const Context& context);

class SparseMoe {
 public:
  SparseMoe(Linear router, std::optional<Linear> gate, Linear up, Linear down, std::uint32_t top_k, bool normalize,
            kernels::GateFunction function = kernels::GateFunction::kSilu)
      : router_(std::move(router)),
        gate_(std::move(gate)),
        up_(std::move(up)),
        down_(std::move(down)),
        top_k_(top_k),
        normalize_(normalize),
        function_(function) {}

  // x, y [num_tokens, hidden].
  void run(std::span<const float> x, std::uint32_t num_tokens, std::span<float> y, const Context& context) const;
  [[nodiscard]] std::size_t workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const;

  template <class Visit>
  void visit_linears(Visit visit) const {
    visit(router_);
    if (gate_) visit(*gate_);
    visit(up_);
    visit(down_);
  }

 private:
  [[nodiscard]] std::uint32_t num_experts() const { return static_cast<std::uint32_t>(router_.out_features()); }
  void route(std::span<const float> x, std::uint32_t num_tokens, std::span<Routing> chosen,
             const Context& context) const;
  // The hidden values of the experts: rows [num_rows, in] -> inner [num_rows, intermediate].
  void run_inner(std::span<const float> rows, std::uint32_t num_rows, std::span<const std::uint32_t> offsets,
                 std::span<float> inner, const Context& context) const;

  Linear router_;
  std::optional<Linear> gate_;
  Linear up_, down_;
  std::uint32_t top_k_;
  bool normalize_;
  kernels::GateFunction function_;
};

}  // namespace nvfp4::layers
