// What every layer gets for a step, and the precision of the values between layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/worker_pool.h"
#include "base/workspace.h"
#include "formats/bf16.h"
#include "kernels/catalogue/row_catalogue.h"

namespace nvfp4::layers {

class Profile;

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
  const kernels::RowKernels& rows = kernels::row_kernels(best_instruction_set());
  Profile* profile = nullptr;  // layers/profile.h; null: nobody asked

  [[nodiscard]] kernels::Rounding rounding() const {
    return precision == Precision::kBF16 ? kernels::Rounding::kBF16 : kernels::Rounding::kNone;
  }
  [[nodiscard]] float round(float value) const { return precision == Precision::kBF16 ? round_to_bf16(value) : value; }
  void round(std::span<float> values) const {
    if (precision == Precision::kBF16) rows.round_to_bf16(values.data(), values.size());
  }
};

}  // namespace nvfp4::layers
