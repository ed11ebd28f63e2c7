// The SwiGLU feed-forward layer: y = (silu(x Wgate) * (x Wup)) Wdown, silu(a) = a / (1 + exp(-a)).
#pragma once

#include <cstdint>
#include <span>

#include "layers/context.h"
#include "layers/linear.h"

namespace nvfp4::layers {

class SwigluMlp {
 public:
  SwigluMlp(Linear gate, Linear up, Linear down) : gate_(std::move(gate)), up_(std::move(up)), down_(std::move(down)) {}

  // x, y [num_tokens, hidden].
  void run(std::span<const float> x, std::uint32_t num_tokens, std::span<float> y, const Context& context) const;
  [[nodiscard]] std::size_t workspace_bytes(std::uint32_t num_tokens, std::size_t num_workers) const;

  template <class Visit>
  void visit_linears(Visit visit) const {
    for (const Linear* linear : {&gate_, &up_, &down_}) visit(*linear);
  }

 private:
  Linear gate_, up_, down_;
};

}  // namespace nvfp4::layers
