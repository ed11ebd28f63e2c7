// The kernels for few tokens against the float64 reference.
#include "kernels/cuda_sm90/moe_decode.h"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/graph.h"
#include "kernels/cuda_shared/fragment_pack.h"
#include "layouts/fragment_16x64.h"
#include "support/gpu_array.h"
#include "support/random_moe.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

using reference::InnerRounding;
using support::GpuArray;
using support::GpuQueue;
using support::IdPattern;
using support::MoeSpec;
using support::MoeValues;
using support::Random;
using support::RandomLinear;
using support::RandomMoe;

std::span<const std::uint8_t> bytes_of(const RandomLinear& linear) {
  return {reinterpret_cast<const std::uint8_t*>(linear.elements.data()), linear.elements.size()};
}

// One matrix, or an interleaved pair, of every expert.
class PackedExperts {
 public:
  PackedExperts(const GpuQueue& queue, const RandomLinear* first, const RandomLinear& last)
      : packed_(queue, num_bytes(first != nullptr, last.spec)) {
    const GpuArray<std::uint8_t> codes(queue, bytes_of(last)), scales(queue, last.block_scales);
    const FragmentPieces pieces{last.spec.num_experts, last.spec.out_features, last.spec.in_features, 16,
                                first != nullptr};
    const RowMajorMatrix<const std::uint8_t> last_matrix{codes.data(), scales.data()};
    if (first == nullptr) {
      queue.expect_ok(cuda_fragment_packer().pack(pieces, last_matrix, {}, packed_.data(), queue.get()));
    } else {
      const GpuArray<std::uint8_t> first_codes(queue, bytes_of(*first)), first_scales(queue, first->block_scales);
      queue.expect_ok(cuda_fragment_packer().pack(pieces, {first_codes.data(), first_scales.data()}, last_matrix,
                                                  packed_.data(), queue.get()));
    }
    queue.expect_ok(runtime::synchronize(queue.get()));
  }
  [[nodiscard]] const std::uint8_t* data() const { return packed_.data(); }

 private:
  static std::size_t num_bytes(bool is_pair, const support::LinearSpec& spec) {
    return spec.num_experts * (is_pair ? Fragment16x64::num_pair_bytes(spec.out_features, spec.in_features)
                                       : Fragment16x64::num_bytes(spec.out_features, spec.in_features));
  }
  GpuArray<std::uint8_t> packed_;
};

class GpuExperts {
 public:
  GpuExperts(const GpuQueue& queue, const RandomMoe::Projections& p)
      : gate_up_(queue, p.gate(), p.up()),
        down_(queue, nullptr, p.down()),
        gate_scale2_(queue, p.gate() == nullptr ? std::vector<float>(1) : p.gate()->scale2),
        up_scale2_(queue, p.up().scale2),
        down_scale2_(queue, p.down().scale2),
        fc1_input_scale_(queue, p.up().input_scale),
        fc2_input_scale_(queue, p.down().input_scale),
        has_gate_(p.gate() != nullptr),
        has_input_scale_(p.up().spec.has_input_scale()) {}

  [[nodiscard]] DeviceExperts view() const {
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
  GpuMoe(const GpuQueue& queue, const RandomMoe& moe)
      : queue_(queue),
        moe_(moe),
        caps_(GpuQueue::must(Device::open(0)).caps()),
        experts_(queue, moe.experts()),
        shared_(queue, moe.shared() == nullptr ? moe.experts() : *moe.shared()),
        x_(queue, moe.x()),
        ids_(queue, moe.ids()),
        router_weights_(queue, moe.router_weights()),
        expert_map_(queue, moe.expert_map()),
        shared_weights_(queue, moe.shared_weights()) {}

  // Tokens [first, first + count) by themselves; as one graph, launched twice.
  [[nodiscard]] std::vector<Bf16Bits> run(std::uint32_t first, std::uint32_t count) const {
    const MoeProblem& problem = moe_.spec().problem;
    const DeviceMoeKernel& kernel = moe_nvfp4_bf16_mma();
    EXPECT_EQ(kernel.refusal(problem, caps_, count), "");
    const auto plan = GpuQueue::must(kernel.plan(problem, caps_, count));
    const GpuArray<std::byte> workspace(queue_, plan.sizes.workspace_bytes);
    const GpuArray<Bf16Bits> y(queue_, std::size_t{count} * problem.hidden);
    DeviceMoeArgs args;
    args.num_tokens = count;
    args.x = x_.data() + std::size_t{first} * problem.hidden;
    args.expert_ids = ids_.data() + std::size_t{first} * problem.top_k;
    args.router_weights = router_weights_.data() + std::size_t{first} * problem.top_k;
    args.y = y.data();
    args.expert_map = moe_.expert_map().empty() ? nullptr : expert_map_.data();
    args.shared_weights = moe_.shared_weights().empty() ? nullptr : shared_weights_.data() + first;
    const DeviceMoeWeights weights{experts_.view(), moe_.shared() == nullptr ? DeviceExperts{} : shared_.view()};
    const DeviceWorkspace space{workspace.data(), plan.sizes.workspace_bytes};
    const auto graph = GpuQueue::must(
        Graph::capture(queue_.stream(), [&] { return kernel.run(plan, weights, args, space, queue_.get()); }));
    queue_.expect_ok(graph.launch(queue_.get()));
    const std::vector<Bf16Bits> found = y.host();
    queue_.expect_ok(graph.launch(queue_.get()));
    EXPECT_TRUE(y.host() == found) << "the same call gave other bits";
    return found;
  }

 private:
  const GpuQueue& queue_;
  const RandomMoe& moe_;
  DeviceCaps caps_;
  GpuExperts experts_, shared_;
  GpuArray<Bf16Bits> x_;
  GpuArray<std::int32_t> ids_;
  GpuArray<float> router_weights_;
  GpuArray<std::int32_t> expert_map_;
  GpuArray<float> shared_weights_;
};

MoeProblem problem_of(ExpertFunction function, std::uint32_t hidden, std::uint32_t intermediate, std::uint32_t experts,
                      std::uint32_t top_k) {
  MoeProblem problem;
  problem.function = function;
  problem.hidden = hidden;
  problem.intermediate = intermediate;
  problem.num_experts = experts;
  problem.top_k = top_k;
  problem.swiglu_limit = 3.0F;
  return problem;
}

std::vector<MoeProblem> problems() {
  std::vector<MoeProblem> all = {
      problem_of(ExpertFunction::kSilu, 256, 192, 12, 4),      problem_of(ExpertFunction::kGeluTanh, 208, 112, 20, 5),
      problem_of(ExpertFunction::kSwigluOai, 1040, 336, 6, 2), problem_of(ExpertFunction::kRelu2, 336, 1040, 7, 6),
      problem_of(ExpertFunction::kSilu, 16, 16, 300, 32),      problem_of(ExpertFunction::kRelu2, 4160, 48, 3, 1)};
  all[1].shared_intermediate = 80;
  all[3].shared_intermediate = 32;
  all[2].num_global_experts = 9;
  all[0].router_weight_on_input = true;
  return all;
}

// BF16 rounds y by at most 2^-8 of it. Sums in float32 round a few inner values to their other neighbour: a few steps
// of 2^-7, or of E2M1, among many.
double tolerance(Activation activation) { return 0x1p-8 + (activation == Activation::k16Bit ? 3e-4 : 8e-3); }

std::string describe(const MoeSpec& spec) {
  const MoeProblem& p = spec.problem;
  return std::string(expert_function_name(p.function)) + " H " + std::to_string(p.hidden) + " I " +
         std::to_string(p.intermediate) + " E " + std::to_string(p.num_experts) + " k " + std::to_string(p.top_k) +
         " T " + std::to_string(spec.num_tokens) + " activation " + std::to_string(static_cast<int>(p.activation)) +
         " ids " + std::to_string(static_cast<int>(spec.ids));
}

void expect_close(const GpuQueue& queue, const MoeSpec& spec, Random& random) {
  const RandomMoe moe(spec, random);
  const std::vector<double> expected = moe.reference();
  const std::vector<Bf16Bits> found = GpuMoe(queue, moe).run(0, spec.num_tokens);
  EXPECT_LE(reference::relative_error(found, expected), tolerance(spec.problem.activation)) << describe(spec);
}

TEST(MoeDecode, MatchesTheReference) {
  const GpuQueue queue;
  Random random(1);
  for (const MoeProblem& problem : problems()) {
    for (const std::uint32_t num_tokens : {1U, 2U, 4U, 7U, 8U, 9U, 16U, 31U, 64U}) {
      MoeSpec spec{problem, num_tokens};
      spec.ids = num_tokens % 2 == 0 ? IdPattern::kDistinct : IdPattern::kHoles;
      spec.has_shared_weights = num_tokens % 2 == 0;
      expect_close(queue, spec, random);
    }
  }
}

TEST(MoeDecode, ServesAnyIds) {
  const GpuQueue queue;
  Random random(2);
  for (const IdPattern ids : {IdPattern::kFew, IdPattern::kOne, IdPattern::kDuplicates, IdPattern::kHoles}) {
    for (const std::uint32_t num_tokens : {1U, 6U, 17U, 64U}) {
      MoeSpec spec{problem_of(ExpertFunction::kSilu, 272, 144, 10, 3), num_tokens};
      spec.ids = ids;
      expect_close(queue, spec, random);
    }
  }
}

TEST(MoeDecode, WithoutExpertsAnswersZero) {
  const GpuQueue queue;
  Random random(3);
  for (const std::uint32_t num_tokens : {1U, 20U}) {
    MoeSpec spec{problem_of(ExpertFunction::kSilu, 128, 64, 8, 4), num_tokens};
    spec.ids = IdPattern::kNone;
    const RandomMoe moe(spec, random);
    const std::vector<Bf16Bits> zeros(std::size_t{num_tokens} * 128, 0);
    EXPECT_TRUE(GpuMoe(queue, moe).run(0, num_tokens) == zeros);
  }
}

TEST(MoeDecode, RoundsActivationsToNvfp4) {
  const GpuQueue queue;
  Random random(4);
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const QuantizerRule rule : {QuantizerRule::kModelOpt, QuantizerRule::kCompressedTensors}) {
      for (const std::uint32_t num_tokens : {1U, 5U, 24U}) {
        MoeSpec spec{problem_of(ExpertFunction::kSilu, 528, 208, 9, 3), num_tokens};
        spec.problem.activation = activation;
        spec.problem.input_rule = rule;
        spec.problem.one_fc1_input_scale = num_tokens == 5;
        spec.problem.shared_intermediate = num_tokens == 24 ? 64 : 0;
        expect_close(queue, spec, random);
      }
    }
  }
}

TEST(MoeDecode, ComputesExactNumbersExactly) {
  const GpuQueue queue;
  Random random(5);
  for (const ExpertFunction function : {ExpertFunction::kSilu, ExpertFunction::kRelu2}) {
    for (const std::uint32_t num_tokens : {1U, 4U, 9U, 64U}) {
      MoeSpec spec{problem_of(function, 320, 176, 14, 4), num_tokens};
      spec.values = MoeValues::kExact;
      const RandomMoe moe(spec, random);
      std::vector<Bf16Bits> expected;
      for (const double y : moe.reference()) expected.push_back(encode_bf16(static_cast<float>(y)));
      EXPECT_TRUE(GpuMoe(queue, moe).run(0, num_tokens) == expected) << describe(spec);
    }
  }
}

TEST(MoeDecode, KeepsToTheEndsOfBf16) {
  const GpuQueue queue;
  Random random(6);
  for (const int exponent : {-100, 100}) {
    MoeSpec spec{problem_of(ExpertFunction::kSilu, 256, 128, 8, 2), 6};
    spec.x_exponent = exponent;
    expect_close(queue, spec, random);
  }
}

TEST(MoeDecode, RefusesWhatItDoesNotKeep) {
  MoeProblem problem = problem_of(ExpertFunction::kSilu, 2048, 768, 16, 8);
  const auto device = Device::open(0);
  ASSERT_TRUE(device);
  EXPECT_EQ(moe_nvfp4_bf16_mma().refusal(problem, device->caps(), 40), "");
  problem.batch_invariant = true;
  EXPECT_NE(moe_nvfp4_bf16_mma().refusal(problem, device->caps(), 40), "");
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
