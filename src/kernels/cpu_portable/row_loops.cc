#include "kernels/cpu_portable/row_loops.h"

#include <cmath>
#include <cstring>

#include "formats/bf16.h"
#include "formats/e4m3.h"
#include "kernels/cpu_portable/attention_loops.h"

namespace nvfp4::kernels::cpu_portable {
namespace {

float rounded(float value, Rounding rounding) {
  return rounding == Rounding::kBF16 ? nvfp4::round_to_bf16(value) : value;
}

void round_to_bf16(float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) values[i] = nvfp4::round_to_bf16(values[i]);
}

void add(const float* x, float* sum, std::size_t count, Rounding rounding) {
  for (std::size_t i = 0; i < count; ++i) sum[i] = rounded(sum[i] + x[i], rounding);
}

void accumulate(float weight, const float* row, float* sum, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) sum[i] += weight * row[i];
}

float gate_function(GateFunction f, float a) {
  if (f == GateFunction::kSilu) return a / (1.0F + std::exp(-a));
  const float minus_2u = a * -1.5957691216F * (a * a * 0.044715F + 1.0F);
  return a / (1.0F + std::exp(minus_2u));
}

void gated(GateFunction f, const float* gate, const float* up, float* y, std::size_t count, Rounding rounding) {
  for (std::size_t i = 0; i < count; ++i) {
    y[i] = rounded(rounded(gate_function(f, gate[i]), rounding) * up[i], rounding);
  }
}

void relu2(const float* x, float* y, std::size_t count, Rounding rounding) {
  for (std::size_t i = 0; i < count; ++i) {
    const float a = x[i] < 0.0F ? 0.0F : x[i];
    y[i] = rounded(a * a, rounding);
  }
}

void rms_norm(const float* x, const float* weight, float epsilon, float* y, std::size_t num_rows, std::size_t count,
              Rounding rounding) {
  for (std::size_t row = 0; row < num_rows; ++row) {
    const float* const in = x + row * count;
    float* const out = y + row * count;
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += double{in[i]} * double{in[i]};
    const auto mean = static_cast<float>(sum / static_cast<double>(count));
    const float scale = 1.0F / std::sqrt(mean + epsilon);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = rounded(rounded(in[i] * scale, rounding) * weight[i], rounding);
    }
  }
}

void rotate(float* heads, const float* cosines, const float* sines, std::size_t num_heads, std::size_t half,
            Rounding rounding) {
  for (std::size_t head = 0; head < num_heads; ++head) {
    float* const first = heads + head * 2 * half;
    for (std::size_t i = 0; i < half; ++i) {
      const float a = first[i];
      const float b = first[i + half];
      first[i] = rounded(a * cosines[i] - b * sines[i], rounding);
      first[i + half] = rounded(b * cosines[i] + a * sines[i], rounding);
    }
  }
}

void encode(KvElement element, const float* values, float scale, void* out, std::size_t count) {
  switch (element) {
    case KvElement::kF32:
      std::memcpy(out, values, count * sizeof(float));
      return;
    case KvElement::kBF16:
      for (std::size_t i = 0; i < count; ++i) static_cast<std::uint16_t*>(out)[i] = encode_bf16(values[i]);
      return;
    case KvElement::kFp8:
      for (std::size_t i = 0; i < count; ++i) {
        static_cast<std::uint8_t*>(out)[i] = encode_e4m3_saturating(values[i] / scale);
      }
      return;
  }
}

constexpr RowKernels kLoops = {InstructionSet::kPortable,
                               round_to_bf16,
                               add,
                               accumulate,
                               gated,
                               relu2,
                               rms_norm,
                               rotate,
                               encode,
                               attend,
                               merge,
                               finish};

}  // namespace

const RowKernels& row_loops() { return kLoops; }

}  // namespace nvfp4::kernels::cpu_portable
