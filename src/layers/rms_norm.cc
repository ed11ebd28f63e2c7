#include "layers/rms_norm.h"

#include "layers/profile.h"

namespace nvfp4::layers {

void RmsNorm::apply(const float* x, float* y, std::size_t num_rows, const Context& context) const {
  context.rows.rms_norm(x, weight_.data(), epsilon_, y, num_rows, size(), context.rounding());
}

void RmsNorm::run(std::span<const float> x, std::span<float> y, const Context& context) const {
  const ProfileSpan span(context.profile, Stage::kNorms);
  context.pool.run(x.size() / size(), [&](std::size_t row, std::size_t) {
    apply(x.data() + row * size(), y.data() + row * size(), 1, context);
  });
}

}  // namespace nvfp4::layers
