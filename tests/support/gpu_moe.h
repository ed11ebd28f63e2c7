// An MoE layer and its inputs on the device, for tests of the kernels that compute it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/graph.h"
#include "layouts/fragment_16x64.h"
#include "support/gpu_array.h"
#include "support/gpu_packer.h"
#include "support/random_moe.h"

namespace nvfp4::support {

inline std::span<const std::uint8_t> bytes_of(const RandomLinear& linear) {
  return {reinterpret_cast<const std::uint8_t*>(linear.elements.data()), linear.elements.size()};
}

// One matrix, or an interleaved pair, of every expert.
class PackedExperts {
 public:
  PackedExperts(const GpuQueue& queue, kernels::DeviceWeightLayout layout, const RandomLinear* first,
                const RandomLinear& last)
      : packed_(queue, num_bytes(first != nullptr, last.spec)) {
    const GpuArray<std::uint8_t> codes(queue, bytes_of(last)), scales(queue, last.block_scales);
    const kernels::FragmentPieces pieces{last.spec.num_experts, last.spec.out_features, last.spec.in_features, 16,
                                         first != nullptr};
    const kernels::FragmentPacker& packer = packer_of(layout);
    const kernels::RowMajorMatrix<const std::uint8_t> last_matrix{codes.data(), scales.data()};
    if (first == nullptr) {
      queue.expect_ok(packer.pack(pieces, last_matrix, {}, packed_.data(), queue.get()));
    } else {
      const GpuArray<std::uint8_t> first_codes(queue, bytes_of(*first)), first_scales(queue, first->block_scales);
      queue.expect_ok(
          packer.pack(pieces, {first_codes.data(), first_scales.data()}, last_matrix, packed_.data(), queue.get()));
    }
    queue.expect_ok(runtime::synchronize(queue.get()));
  }
  [[nodiscard]] const std::uint8_t* data() const { return packed_.data(); }

 private:
  static std::size_t num_bytes(bool is_pair, const LinearSpec& spec) {
    return spec.num_experts * (is_pair ? Fragment16x64::num_pair_bytes(spec.out_features, spec.in_features)
                                       : Fragment16x64::num_bytes(spec.out_features, spec.in_features));
  }
  GpuArray<std::uint8_t> packed_;
};

class GpuExperts {
 public:
  GpuExperts(const GpuQueue& queue, kernels::DeviceWeightLayout layout, const RandomMoe::Projections& p)
      : gate_up_(queue, layout, p.gate(), p.up()),
        down_(queue, layout, nullptr, p.down()),
        gate_scale2_(queue, p.gate() == nullptr ? std::vector<float>(1) : p.gate()->scale2),
        up_scale2_(queue, p.up().scale2),
        down_scale2_(queue, p.down().scale2),
        fc1_input_scale_(queue, p.up().input_scale),
        fc2_input_scale_(queue, p.down().input_scale),
        has_gate_(p.gate() != nullptr),
        has_input_scale_(p.up().spec.has_input_scale()) {}

  [[nodiscard]] kernels::DeviceExperts view() const {
    return {gate_up_.data(),
            down_.data(),
            has_gate_ ? gate_scale2_.data() : nullptr,
            up_scale2_.data(),
            down_scale2_.data(),
            has_input_scale_ ? fc1_input_scale_.data() : nullptr,
            has_input_scale_ ? fc2_input_scale_.data() : nullptr};
  }

 private:
  PackedExperts gate_up_, down_;
  GpuArray<float> gate_scale2_, up_scale2_, down_scale2_, fc1_input_scale_, fc2_input_scale_;
  bool has_gate_, has_input_scale_;
};

// A layer and its inputs on the device.
class GpuMoe {
 public:
  GpuMoe(const GpuQueue& queue, const RandomMoe& moe,
         kernels::DeviceWeightLayout layout = kernels::DeviceWeightLayout::kFragment16x64)
      : queue_(queue),
        moe_(moe),
        layout_(layout),
        caps_(GpuQueue::must(Device::open(0)).caps()),
        experts_(queue, layout, moe.experts()),
        shared_(queue, layout, moe.shared() == nullptr ? moe.experts() : *moe.shared()),
        x_(queue, moe.x()),
        ids_(queue, moe.ids()),
        router_weights_(queue, moe.router_weights()),
        expert_map_(queue, moe.expert_map()),
        shared_weights_(queue, moe.shared_weights()) {}

  // Tokens [first, first + count) by themselves; as one graph, launched twice. change: of the plan, before it runs.
  [[nodiscard]] std::vector<kernels::Bf16Bits> run(
      const kernels::DeviceMoeKernel& kernel, std::uint32_t first, std::uint32_t count,
      const std::function<void(kernels::DeviceMoePlan&)>& change = [](kernels::DeviceMoePlan& /*plan*/) {}) const {
    const kernels::MoeProblem& problem = moe_.spec().problem;
    EXPECT_EQ(kernel.nvfp4_layout, layout_);
    EXPECT_EQ(kernel.refusal(problem, caps_, count), "");
    auto plan = GpuQueue::must(kernel.plan(problem, caps_, count));
    change(plan);
    const GpuArray<std::byte> workspace(queue_, plan.sizes.workspace_bytes);
    // Numbers that are none, of every type; then what must be 0.
    queue_.expect_ok(runtime::fill(workspace.data(), 0xFF, plan.sizes.workspace_bytes, queue_.get()));
    queue_.expect_ok(runtime::fill(workspace.data(), 0, plan.sizes.zeroed_bytes, queue_.get()));
    return run(first, count, [&](const kernels::DeviceMoeWeights& weights, const kernels::DeviceMoeArgs& args) {
      return kernel.run(plan, weights, args, {workspace.data(), plan.sizes.workspace_bytes}, queue_.get());
    });
  }

  // call(weights, args): puts the layer's kernels on the queue.
  template <class Call>
  [[nodiscard]] std::vector<kernels::Bf16Bits> run(std::uint32_t first, std::uint32_t count, const Call& call) const {
    const kernels::MoeProblem& problem = moe_.spec().problem;
    const GpuArray<kernels::Bf16Bits> y(queue_, std::size_t{count} * problem.hidden);
    kernels::DeviceMoeArgs args;
    args.num_tokens = count;
    args.x = x_.data() + std::size_t{first} * problem.hidden;
    args.expert_ids = ids_.data() + std::size_t{first} * problem.top_k;
    args.router_weights = router_weights_.data() + std::size_t{first} * problem.top_k;
    args.y = y.data();
    args.expert_map = moe_.expert_map().empty() ? nullptr : expert_map_.data();
    args.shared_weights = moe_.shared_weights().empty() ? nullptr : shared_weights_.data() + first;
    const kernels::DeviceMoeWeights weights{experts_.view(),
                                            moe_.shared() == nullptr ? kernels::DeviceExperts{} : shared_.view()};
    const auto graph = GpuQueue::must(Graph::capture(queue_.stream(), [&] { return call(weights, args); }));
    queue_.expect_ok(graph.launch(queue_.get()));
    const std::vector<kernels::Bf16Bits> found = y.host();
    queue_.expect_ok(graph.launch(queue_.get()));
    EXPECT_TRUE(y.host() == found) << "the same call gave other bits";
    return found;
  }
  [[nodiscard]] const DeviceCaps& caps() const { return caps_; }

 private:
  const GpuQueue& queue_;
  const RandomMoe& moe_;
  kernels::DeviceWeightLayout layout_;
  DeviceCaps caps_;
  GpuExperts experts_, shared_;
  GpuArray<kernels::Bf16Bits> x_;
  GpuArray<std::int32_t> ids_;
  GpuArray<float> router_weights_;
  GpuArray<std::int32_t> expert_map_;
  GpuArray<float> shared_weights_;
};

}  // namespace nvfp4::support
