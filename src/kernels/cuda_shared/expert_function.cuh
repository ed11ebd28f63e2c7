// What experts do with gate and up; kernels/contract/device_moe.h has the equations. A NaN stays one.
#pragma once

#include "kernels/contract/device_moe.h"

namespace nvfp4::kernels {

struct ExpertFunctionParameters {
  ExpertFunction function = ExpertFunction::kSilu;
  float alpha = 0.0F, beta = 0.0F, limit = 0.0F;
};

__device__ __forceinline__ float apply_gate(const ExpertFunctionParameters& p, float gate, float up) {
  switch (p.function) {
    case ExpertFunction::kSilu:
      return __fdividef(gate, 1.0F + __expf(-gate)) * up;
    case ExpertFunction::kGeluTanh: {
      const float u = 0.7978845608028654F * (gate + 0.044715F * gate * gate * gate);
      return __fdividef(gate, 1.0F + __expf(-2.0F * u)) * up;
    }
    case ExpertFunction::kSwigluOai: {
      const float g = gate > p.limit ? p.limit : gate;
      const float low = up < -p.limit ? -p.limit : up;
      return __fdividef(g, 1.0F + __expf(-p.alpha * g)) * ((low > p.limit ? p.limit : low) + p.beta);
    }
    case ExpertFunction::kRelu2:
      break;
  }
  const float positive = up < 0.0F ? 0.0F : up;
  return positive * positive;
}

}  // namespace nvfp4::kernels
