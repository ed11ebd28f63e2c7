// What every layer gets for a step, and the precision of the values between layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/worker_pool.h"
#include "base/workspace.h"
#include "formats/bf16.h"

namespace nvfp4::layers {

// Values are held as float32 everywhere. kBF16 rounds them where a BF16 model would store them: after each norm, linear
// layer, rotation, attention, activation function and residual sum.
enum class Precision : std::uint8_t { kF32, kBF16 };
[[nodiscard]] constexpr std::string_view precision_name(Precision precision) {
  return precision == Precision::kF32 ? "f32" : "bf16";
}

struct Context {
  Workspace& workspace;
  WorkerPool& pool;
  Precision precision = Precision::kBF16;

  [[nodiscard]] float round(float value) const { return precision == Precision::kBF16 ? round_to_bf16(value) : value; }
  void round(std::span<float> values) const {
    if (precision == Precision::kF32) return;
    for (float& value : values) value = round_to_bf16(value);
  }
};

}  // namespace nvfp4::layers
