// The row kernels over vectors of 16 floats, except attention. P is a FloatVector of cpu_avx2 or cpu_avx512, and
// instances differ in nothing else: both give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contract/row_kernels.h"
#include "kernels/cpu_shared/vector_exp.h"

namespace nvfp4::kernels {

template <class P>
struct VectorRows {
  using V = typename P::V;

  static void round_to_bf16(float* values, std::size_t count) {
    for_each(count, [=](std::size_t i, auto io) { io.store(values + i, P::round_to_bf16(io.load(values + i))); });
  }

  static void add(const float* x, float* sum, std::size_t count, Rounding rounding) {
    with(rounding, [=](auto round) {
      for_each(count,
               [=](std::size_t i, auto io) { io.store(sum + i, round(P::add(io.load(sum + i), io.load(x + i)))); });
    });
  }

  static void accumulate(float weight, const float* row, float* sum, std::size_t count) {
    const V w = P::all(weight);
    for_each(count,
             [=](std::size_t i, auto io) { io.store(sum + i, P::add(io.load(sum + i), P::mul(w, io.load(row + i)))); });
  }

  static void gated(GateFunction f, const float* gate, const float* up, float* y, std::size_t count,
                    Rounding rounding) {
    const auto run = [=](auto function) {
      with(rounding, [=](auto round) {
        for_each(count, [=](std::size_t i, auto io) {
          io.store(y + i, round(P::mul(round(function(io.load(gate + i))), io.load(up + i))));
        });
      });
    };
    f == GateFunction::kSilu ? run([](V a) { return silu(a); }) : run([](V a) { return gelu_tanh(a); });
  }

  static void relu2(const float* x, float* y, std::size_t count, Rounding rounding) {
    with(rounding, [=](auto round) {
      for_each(count, [=](std::size_t i, auto io) {
        const V a = P::max(P::zero(), io.load(x + i));
        io.store(y + i, round(P::mul(a, a)));
      });
    });
  }

  // 16 sums in float64, by the index modulo 16, added halves first.
  static void rms_norm(const float* x, const float* weight, float epsilon, float* y, std::size_t num_rows,
                       std::size_t count, Rounding rounding) {
    with(rounding, [=](auto round) {
      for (std::size_t row = 0; row < num_rows; ++row) {
        const float* const in = x + row * count;
        float* const out = y + row * count;
        typename P::Doubles sums = P::zero_doubles();
        for_each(count, [&](std::size_t i, auto io) { sums = P::add_squares(sums, io.load(in + i)); });
        const auto mean = static_cast<float>(P::sum(sums) / static_cast<double>(count));
        const V scale = P::all(1.0F / P::square_root(mean + epsilon));
        for_each(count, [=](std::size_t i, auto io) {
          io.store(out + i, round(P::mul(round(P::mul(io.load(in + i), scale)), io.load(weight + i))));
        });
      }
    });
  }

  static void rotate(float* heads, const float* cosines, const float* sines, std::size_t num_heads, std::size_t half,
                     Rounding rounding) {
    with(rounding, [=](auto round) {
      for (std::size_t head = 0; head < num_heads; ++head) {
        float* const first = heads + head * 2 * half;
        float* const second = first + half;
        for_each(half, [=](std::size_t i, auto io) {
          const V a = io.load(first + i);
          const V b = io.load(second + i);
          const V c = io.load(cosines + i);
          const V s = io.load(sines + i);
          io.store(first + i, round(P::sub(P::mul(a, c), P::mul(b, s))));
          io.store(second + i, round(P::add(P::mul(b, c), P::mul(a, s))));
        });
      }
    });
  }

  static void encode(KvElement element, const float* values, float scale, void* out, std::size_t count) {
    const V divisor = P::all(scale);
    for (std::size_t i = 0; i < count; i += 16) {
      const std::size_t n = count - i < 16 ? count - i : 16;
      const V v = P::load_first(values + i, n);
      if (element == KvElement::kF32) P::store_first(static_cast<float*>(out) + i, v, n);
      if (element == KvElement::kBF16) {
        P::store_bf16(static_cast<std::uint16_t*>(out) + i, P::round_to_bf16(v), n);
      }
      if (element == KvElement::kFp8) P::store_e4m3(static_cast<std::uint8_t*>(out) + i, P::div(v, divisor), n);
    }
  }

 private:
  // Ways to load and store: 16 values, and the fewer at the end of a row.
  struct Whole {
    V load(const float* p) const { return P::load(p); }
    void store(float* p, V v) const { P::store(p, v); }
  };
  struct First {
    std::size_t n;
    V load(const float* p) const { return P::load_first(p, n); }
    void store(float* p, V v) const { P::store_first(p, v, n); }
  };
  template <class Fn>
  static void for_each(std::size_t count, Fn fn) {
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16) fn(i, Whole{});
    if (i < count) fn(i, First{count - i});
  }
  template <class Fn>
  static void with(Rounding rounding, Fn fn) {
    if (rounding == Rounding::kBF16) {
      fn([](V v) { return P::round_to_bf16(v); });
    } else {
      fn([](V v) { return v; });
    }
  }

  static V silu(V a) { return P::div(a, P::add(P::all(1.0F), VectorExp<P>::any(P::sub(P::zero(), a)))); }
  static V gelu_tanh(V a) {
    const V cubic = P::fma(P::mul(a, a), P::all(0.044715F), P::all(1.0F));
    const V minus_2u = P::mul(P::mul(a, P::all(-1.5957691216F)), cubic);
    return P::div(a, P::add(P::all(1.0F), VectorExp<P>::any(minus_2u)));
  }
};

}  // namespace nvfp4::kernels
