// Linear layers with FP8 and BF16 weights on the device, and what the float64 reference says about them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "device/device.h"
#include "formats/bf16.h"
#include "kernels/contract/device_linear.h"
#include "kernels/reference/linear.h"
#include "support/gpu_array.h"
#include "support/random_linear.h"

namespace nvfp4::support {

struct GpuLinearOptions {
  std::uint32_t num_sms = 0;  // 0: the device's
  bool batch_invariant = false;
};

// A linear layer on the device.
class GpuLinearRows {
 public:
  GpuLinearRows(const GpuQueue& queue, const kernels::DeviceLinearKernel& kernel, const RandomLinear& linear)
      : queue_(queue),
        kernel_(kernel),
        linear_(linear),
        caps_(GpuQueue::must(Device::open(0)).caps()),
        elements_(queue, linear.elements),
        row_scales_(queue, linear.scale2),
        bias_(queue, linear.bias),
        pre_quant_scale_(queue, linear.pre_quant_scale) {}

  template <class Number>
  [[nodiscard]] std::vector<Number> run(const std::vector<kernels::Bf16Bits>& x, std::uint32_t num_tokens,
                                        GpuLinearOptions options = {}) const {
    DeviceCaps caps = caps_;
    if (options.num_sms != 0) caps.num_sms = options.num_sms;
    kernels::DeviceLinearProblem problem = problem_of();
    problem.batch_invariant = options.batch_invariant;
    problem.output = sizeof(Number) == 4 ? kernels::DeviceOutput::kF32 : kernels::DeviceOutput::kBF16;
    EXPECT_EQ(kernel_.refusal(problem, caps, num_tokens), "");
    const auto plan = GpuQueue::must(kernel_.plan(problem, caps, num_tokens));
    const GpuArray<std::byte> workspace(queue_, plan.sizes.workspace_bytes);
    queue_.expect_ok(runtime::fill(workspace.data(), 0, plan.sizes.zeroed_bytes, queue_.get()));
    const GpuArray<kernels::Bf16Bits> x_there(queue_, x);
    const GpuArray<Number> y(queue_, std::size_t{num_tokens} * linear_.spec.out_features);
    const kernels::DeviceWorkspace space{workspace.data(), plan.sizes.workspace_bytes};
    const kernels::DeviceLinearArgs args{num_tokens, x_there.data(), y.data()};
    queue_.expect_ok(kernel_.run(plan, weight(), args, space, queue_.get()));
    std::vector<Number> first = y.host();
    // Again: from what the first run left in the workspace.
    queue_.expect_ok(kernel_.run(plan, weight(), args, space, queue_.get()));
    const std::vector<Number> second = y.host();
    EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof(Number)), 0);
    return first;
  }

 private:
  [[nodiscard]] kernels::DeviceLinearProblem problem_of() const {
    kernels::DeviceLinearProblem problem;
    problem.weight = linear_.spec.format;
    problem.activation = linear_.spec.activation;
    problem.out_features = static_cast<std::uint32_t>(linear_.spec.out_features);
    problem.in_features = static_cast<std::uint32_t>(linear_.spec.in_features);
    problem.num_shards = std::max(1U, static_cast<std::uint32_t>(linear_.shard_rows.size()));
    problem.per_row_scale = linear_.spec.per_row_scale;
    problem.has_bias = !linear_.bias.empty();
    problem.has_pre_quant_scale = !linear_.pre_quant_scale.empty();
    return problem;
  }
  [[nodiscard]] kernels::DeviceLinearWeight weight() const {
    kernels::DeviceLinearWeight weight;
    weight.elements = elements_.data();
    weight.shards.end_rows[0] = static_cast<std::uint32_t>(linear_.spec.out_features);
    weight.shards.scale2[0] = linear_.scale2.empty() ? 1.0F : linear_.scale2[0];
    std::uint32_t end = 0;
    for (std::size_t i = 0; i < linear_.shard_rows.size(); ++i) {
      end += static_cast<std::uint32_t>(linear_.shard_rows[i]);
      weight.shards.end_rows[i] = end;
      weight.shards.scale2[i] = linear_.scale2[i];
      weight.shards.count = static_cast<std::uint32_t>(i + 1);
    }
    weight.row_scales = linear_.spec.per_row_scale ? row_scales_.data() : nullptr;
    if (!linear_.input_scale.empty()) weight.input_scale = linear_.input_scale[0];
    weight.bias = linear_.bias.empty() ? nullptr : bias_.data();
    weight.pre_quant_scale = linear_.pre_quant_scale.empty() ? nullptr : pre_quant_scale_.data();
    return weight;
  }

  const GpuQueue& queue_;
  const kernels::DeviceLinearKernel& kernel_;
  const RandomLinear& linear_;
  DeviceCaps caps_;
  GpuArray<std::byte> elements_;
  GpuArray<float> row_scales_, bias_, pre_quant_scale_;
};

inline RandomLinear make_linear(const LinearSpec& spec, Random& random) {
  RandomLinear linear(spec, random);
  if (spec.num_shards > 1) {
    linear.shard_rows = unequal_shards(spec.out_features, spec.num_shards);
    linear.scale2 = random.floats(linear.shard_rows.size(), 0.002F, 0.3F);
  }
  for (float& scale : linear.pre_quant_scale) scale = random.below(2) == 0 ? 0.5F : 2.0F;  // no rounding of products
  return linear;
}

inline std::vector<kernels::Bf16Bits> random_x(std::size_t count, Random& random) {
  std::vector<kernels::Bf16Bits> x(count);
  for (kernels::Bf16Bits& value : x) value = encode_bf16(random.uniform(-4.0F, 4.0F));
  return x;
}

// Float32 sums: each of K products and of the sums of parts rounds by 2^-24 of what was added up so far.
inline void expect_close(const GpuQueue& queue, const kernels::DeviceLinearKernel& kernel, const LinearSpec& spec,
                         std::uint32_t num_tokens, Random& random, GpuLinearOptions options = {}) {
  const RandomLinear linear = make_linear(spec, random);
  const std::vector<kernels::Bf16Bits> x = random_x(num_tokens * spec.in_features, random);
  std::vector<float> x_f32;
  for (const kernels::Bf16Bits value : x) x_f32.push_back(decode_bf16(value));
  kernels::LinearArgs args;
  args.x = x_f32.data();
  args.num_rows = num_tokens;
  std::vector<double> magnitude;
  const std::vector<double> expected = kernels::reference::linear(linear.view(), spec.activation, args, &magnitude);

  const GpuLinearRows gpu(queue, kernel, linear);
  const std::vector<float> y = gpu.run<float>(x, num_tokens, options);
  const std::vector<kernels::Bf16Bits> rounded = gpu.run<kernels::Bf16Bits>(x, num_tokens, options);
  const double step = static_cast<double>(spec.in_features + 8) * 0x1p-24;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double bias = linear.bias.empty() ? 0.0 : std::fabs(linear.bias[i % spec.out_features]);
    ASSERT_LE(std::fabs(y[i] - expected[i]), step * (magnitude[i] + bias))
        << spec.out_features << " x " << spec.in_features << ", " << num_tokens << " tokens, place " << i;
    ASSERT_EQ(rounded[i], encode_bf16(y[i]));
  }
}

}  // namespace nvfp4::support
