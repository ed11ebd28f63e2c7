// A linear layer with NVFP4 weights on the device, for tests of the kernels that compute it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "kernels/contract/device_linear.h"
#include "kernels/reference/linear.h"
#include "layouts/fragment_16x64.h"
#include "support/gpu_array.h"
#include "support/gpu_packer.h"
#include "support/random_linear.h"

namespace nvfp4::support {

class GpuLinear {
 public:
  // num_sms: what the kernel is told, unless it is 0: fewer multiprocessors make it take larger tiles.
  GpuLinear(const GpuQueue& queue, const RandomLinear& linear, const kernels::DeviceLinearKernel& kernel,
            bool batch_invariant = false, std::uint32_t num_sms = 0)
      : queue_(queue),
        linear_(linear),
        kernel_(kernel),
        batch_invariant_(batch_invariant),
        caps_(GpuQueue::must(Device::open(0)).caps()),
        packed_(queue, Fragment16x64::num_bytes(linear.spec.out_features, linear.spec.in_features)),
        bias_(queue, linear.bias),
        pre_quant_scale_(queue, linear.pre_quant_scale) {
    if (num_sms != 0) caps_.num_sms = num_sms;
    const std::span codes(reinterpret_cast<const std::uint8_t*>(linear.elements.data()), linear.elements.size());
    const GpuArray<std::uint8_t> codes_there(queue, codes), scales_there(queue, linear.block_scales);
    const kernels::FragmentPieces pieces{1, linear.spec.out_features, linear.spec.in_features, linear.spec.block_size,
                                         false};
    queue.expect_ok(packer_of(kernel.nvfp4_layout)
                        .pack(pieces, {codes_there.data(), scales_there.data()}, {}, packed_.data(), queue.get()));
    queue.expect_ok(runtime::synchronize(queue.get()));
  }

  template <class Number>
  [[nodiscard]] std::vector<Number> run(const std::vector<kernels::Bf16Bits>& x, std::uint32_t num_tokens) const {
    kernels::DeviceLinearProblem problem = problem_of();
    problem.output = sizeof(Number) == 4 ? kernels::DeviceOutput::kF32 : kernels::DeviceOutput::kBF16;
    problem.batch_invariant = batch_invariant_;
    EXPECT_EQ(kernel_.refusal(problem, caps_, num_tokens), "");
    const auto plan = GpuQueue::must(kernel_.plan(problem, caps_, num_tokens));
    const GpuArray<std::byte> workspace(queue_, plan.sizes.workspace_bytes);
    // Numbers that are none, of every type; then what must be 0.
    queue_.expect_ok(runtime::fill(workspace.data(), 0xFF, plan.sizes.workspace_bytes, queue_.get()));
    queue_.expect_ok(runtime::fill(workspace.data(), 0, plan.sizes.zeroed_bytes, queue_.get()));
    const GpuArray<kernels::Bf16Bits> x_there(queue_, x);
    const GpuArray<Number> y(queue_, std::size_t{num_tokens} * linear_.spec.out_features);
    kernels::DeviceLinearWeight weight;
    weight.elements = packed_.data();
    weight.shards.count = static_cast<std::uint32_t>(linear_.shard_rows.size());
    std::uint32_t end = 0;
    for (std::size_t i = 0; i < linear_.shard_rows.size(); ++i) {
      end += static_cast<std::uint32_t>(linear_.shard_rows[i]);
      weight.shards.end_rows[i] = end;
      weight.shards.scale2[i] = linear_.scale2[i];
    }
    if (!linear_.input_scale.empty()) weight.input_scale = linear_.input_scale[0];
    weight.bias = linear_.bias.empty() ? nullptr : bias_.data();
    weight.pre_quant_scale = linear_.pre_quant_scale.empty() ? nullptr : pre_quant_scale_.data();
    const kernels::DeviceWorkspace space{workspace.data(), plan.sizes.workspace_bytes};
    const kernels::DeviceLinearArgs args{num_tokens, x_there.data(), y.data()};
    queue_.expect_ok(kernel_.run(plan, weight, args, space, queue_.get()));
    std::vector<Number> first = y.host();
    // Again: from what the first run left in the workspace.
    queue_.expect_ok(kernel_.run(plan, weight, args, space, queue_.get()));
    const std::vector<Number> second = y.host();
    EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof(Number)), 0);
    return first;
  }

 private:
  [[nodiscard]] kernels::DeviceLinearProblem problem_of() const {
    kernels::DeviceLinearProblem problem;
    problem.activation = linear_.spec.activation;
    problem.input_rule = linear_.spec.input_rule;
    problem.out_features = static_cast<std::uint32_t>(linear_.spec.out_features);
    problem.in_features = static_cast<std::uint32_t>(linear_.spec.in_features);
    problem.num_shards = static_cast<std::uint32_t>(linear_.shard_rows.size());
    problem.has_bias = !linear_.bias.empty();
    problem.has_pre_quant_scale = !linear_.pre_quant_scale.empty();
    return problem;
  }

  const GpuQueue& queue_;
  const RandomLinear& linear_;
  kernels::DeviceLinearKernel kernel_;
  bool batch_invariant_;
  DeviceCaps caps_;
  GpuArray<std::uint8_t> packed_;
  GpuArray<float> bias_, pre_quant_scale_;
};

// Float32 sums: each of K products and of the sums of parts rounds by 2^-24 of what was added up so far.
inline void expect_linear_close(const GpuQueue& queue, const kernels::DeviceLinearKernel& kernel,
                                const LinearSpec& spec, std::uint32_t num_tokens, Random& random,
                                std::uint32_t num_sms = 0) {
  RandomLinear linear(spec, random);
  for (float& scale : linear.pre_quant_scale) scale = random.below(2) == 0 ? 0.5F : 2.0F;  // no rounding of products
  std::vector<kernels::Bf16Bits> x(num_tokens * spec.in_features);
  std::vector<float> x_f32;
  for (kernels::Bf16Bits& value : x) x_f32.push_back(decode_bf16(value = encode_bf16(random.uniform(-4.0F, 4.0F))));
  kernels::LinearArgs args;
  args.x = x_f32.data();
  args.num_rows = num_tokens;
  std::vector<double> magnitude;
  const std::vector<double> expected = kernels::reference::linear(linear.view(), spec.activation, args, &magnitude);

  const GpuLinear gpu(queue, linear, kernel, false, num_sms);
  const std::vector<float> y = gpu.run<float>(x, num_tokens);
  const std::vector<kernels::Bf16Bits> rounded = gpu.run<kernels::Bf16Bits>(x, num_tokens);
  const double step = static_cast<double>(spec.in_features + 8) * 0x1p-24;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double bias = linear.bias.empty() ? 0.0 : std::fabs(linear.bias[i % spec.out_features]);
    ASSERT_LE(std::fabs(y[i] - expected[i]), step * (magnitude[i] + bias))
        << spec.out_features << " x " << spec.in_features << ", " << num_tokens << " tokens, place " << i;
    ASSERT_EQ(rounded[i], encode_bf16(y[i]));
  }
}

}  // namespace nvfp4::support
