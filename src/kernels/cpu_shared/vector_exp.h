// exp over a vector of 16 floats. P is a FloatVector of cpu_avx2 or cpu_avx512; both give the same bits.
//
//   n = nearest(x / ln 2), r = x - n ln 2 (in two parts), exp(x) = (1 + (r + r^2 q(r))) 2^n
//
// q has the least relative error on |r| <= ln(2) / 2 that five coefficients allow, 2^-28.3.
#pragma once

namespace nvfp4::kernels {

template <class P>
struct VectorExp {
  using V = typename P::V;

  // Within 1.01 ulp, subnormal results within one of their places; NaN stays NaN.
  static V any(V x) {
    const V limited = P::max(P::all(-110.0F), P::min(P::all(100.0F), x));
    V n;
    const V p = reduced(limited, n);
    return P::scale(p, n);
  }
  // The same for x <= 0, but 0 below -87: nothing beside a 1 that is in the same sum. NaN stays NaN.
  static V of_negative(V x) {
    const V limit = P::all(-87.0F);
    V n;
    const V p = reduced(P::max(limit, x), n);
    return P::zero_below(P::scale_normal(p, n), x, limit);
  }

 private:
  static V reduced(V x, V& n) {
    n = P::nearest(P::mul(x, P::all(1.44269504F)));
    V r = P::fnma(n, P::all(0.693359375F), x);
    r = P::fnma(n, P::all(-2.12194440e-4F), r);
    V q = P::all(0x1.6a23d0p-10F);
    q = P::fma(q, r, P::all(0x1.123a20p-7F));
    q = P::fma(q, r, P::all(0x1.5558f2p-5F));
    q = P::fma(q, r, P::all(0x1.555492p-3F));
    q = P::fma(q, r, P::all(0x1.fffffcp-2F));
    return P::add(P::all(1.0F), P::fma(q, P::mul(r, r), r));
  }
};

}  // namespace nvfp4::kernels
