// FC1 and FC2 of a mixture-of-experts layer for one token. FC2's blocks are there beside FC1's and have their weights
// when it ends.
#pragma once

#include <cstdint>

#include "device/device_stream.h"
#include "kernels/contract/device_moe.h"
#include "kernels/cuda_sm90/linear_decode_one.h"
#include "kernels/cuda_sm90/moe_decode_pairs.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels::cuda_sm90 {

struct OneTokenPipes {
  OneTokenPipe fc1, fc2;
  [[nodiscard]] bool exist() const { return fc1.slots != 0 && fc2.slots != 0; }
};
[[nodiscard]] OneTokenPipes choose_one_token_pipes(const MoeProblem& problem, std::uint32_t num_sms,
                                                   std::uint32_t block_bytes, std::uint32_t sm_bytes);

// On the current device: once before the others.
[[nodiscard]] Status allow_one_token_moe(const DeviceCaps& caps);

// Of the routed experts; pointers may be null where OneTokenFc1Sink and TokenSink say so.
struct OneTokenMoe {
  const MoeProblem& problem;
  const DeviceExperts& weights;
  const OneTokenPipes& pipes;
  std::uint32_t num_sms = 0;
  DecodePairs pairs;
  const Bf16Bits* x = nullptr;  // [H]
  const float* x_factor = nullptr;
  const float* pair_factors = nullptr;
  float* h_f32 = nullptr;  // [k, I], or
  Bf16Bits* h = nullptr;   // [k, I]
  const float* h_factors = nullptr;
  bool rounds = false;  // x and h to NVFP4 under static scales; no factors, no h_f32
  const float* router_weights = nullptr;
  const float* shared_partial = nullptr;
  const float* shared_weights = nullptr;
  Bf16Bits* y = nullptr;  // [H]
};
[[nodiscard]] Status run_one_token_fc1(const OneTokenMoe& moe, DeviceStream stream);
[[nodiscard]] Status run_one_token_fc2(const OneTokenMoe& moe, DeviceStream stream);

}  // namespace nvfp4::kernels::cuda_sm90
