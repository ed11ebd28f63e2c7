#include "kernels/catalogue/device_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace nvfp4::kernels {
namespace {

using testing::HasSubstr;
using testing::Not;

DeviceCaps hopper() {
  DeviceCaps caps;
  caps.name = "NVIDIA H200";
  caps.sm = 90;
  caps.num_sms = 132;
  caps.num_threads_per_sm = 2048;
  caps.num_registers_per_sm = 65536;
  caps.shared_bytes_per_sm = 233472;
  caps.shared_bytes_per_block = 232448;
  caps.reserved_shared_bytes = 1024;
  caps.l2_bytes = 62914560;
  return caps;
}
// Older than anything that a kernel here is for.
DeviceCaps maxwell() {
  DeviceCaps caps = hopper();
  caps.name = "an old device";
  caps.sm = 52;
  return caps;
}

MoeProblem qwen() {
  MoeProblem problem;
  problem.hidden = 2048;
  problem.intermediate = 768;
  problem.num_experts = 128;
  problem.top_k = 8;
  return problem;
}
DeviceLinearProblem dense() {
  DeviceLinearProblem problem;
  problem.out_features = 4096;
  problem.in_features = 2048;
  return problem;
}

template <class Kernel>
void expect_names(std::span<const Kernel> kernels, const std::string& prefix) {
  std::set<std::string_view> names;
  for (const Kernel& kernel : kernels) {
    EXPECT_TRUE(names.insert(kernel.name).second) << kernel.name;
    EXPECT_TRUE(kernel.name.starts_with(prefix)) << kernel.name;
  }
}

TEST(DeviceCatalogue, NamesAreUniqueAndSayTheOperation) {
  expect_names(device_moe_kernels(), "moe_");
  expect_names(device_linear_kernels(), "linear_");
  expect_names(device_router_kernels(), "router_");
  expect_names(device_read_loops(), "read_");
  expect_names(device_multiply_loops(), "multiply_");
}

// Weights come to a device where there are kernels for it, and what measures them is there too.
TEST(DeviceCatalogue, HasEverythingOrNothing) {
  const bool has_cuda = device_fragment_packer() != nullptr;
  EXPECT_EQ(device_random() != nullptr, has_cuda);
  EXPECT_EQ(!device_read_loops().empty(), has_cuda);
  EXPECT_EQ(!device_multiply_loops().empty(), has_cuda);
  EXPECT_EQ(!device_router_kernels().empty(), has_cuda);
  if (!has_cuda) {
    EXPECT_TRUE(device_moe_kernels().empty());
    EXPECT_TRUE(device_linear_kernels().empty());
  }
}

// One line with the layer, the problem and what every kernel says.
template <class Kernel, class Choice, class Refusal>
void expect_error_with_all_refusals(std::span<const Kernel> kernels, const Choice& choice, Refusal refusal) {
  ASSERT_FALSE(choice.ok());
  const std::string text = choice.error().to_string();
  EXPECT_THAT(text, HasSubstr("model.layers.3"));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  if (kernels.empty()) {
    EXPECT_THAT(text, HasSubstr("no such kernels for GPUs"));
    return;
  }
  EXPECT_EQ(choice.error().code, ErrorCode::kUnsupported);
  for (const Kernel& kernel : kernels) {
    EXPECT_NE(refusal(kernel), "") << kernel.name;
    EXPECT_THAT(text, HasSubstr(std::string(kernel.name) + ": " + refusal(kernel)));
  }
}

TEST(DeviceCatalogue, WhatNoKernelServesIsAnErrorWithAllRefusals) {
  const std::string where = "model.layers.3.mlp";
  MoeProblem moe = qwen();
  moe.hidden = 2056;
  for (const auto& [problem, caps] : {std::pair{moe, hopper()}, std::pair{qwen(), maxwell()}}) {
    expect_error_with_all_refusals(device_moe_kernels(), choose_device_moe(problem, caps, 64, where),
                                   [&](const DeviceMoeKernel& kernel) { return kernel.refusal(problem, caps, 64); });
  }
  DeviceLinearProblem linear = dense();
  linear.in_features = 2056;
  for (const auto& [problem, caps] : {std::pair{linear, hopper()}, std::pair{dense(), maxwell()}}) {
    expect_error_with_all_refusals(device_linear_kernels(), choose_device_linear(problem, caps, 64, where),
                                   [&](const DeviceLinearKernel& kernel) { return kernel.refusal(problem, caps, 64); });
  }
  RouterProblem router;
  router.num_experts = 1000;
  router.top_k = 8;
  expect_error_with_all_refusals(device_router_kernels(), choose_device_router(router, hopper(), where),
                                 [&](const DeviceRouterKernel& kernel) { return kernel.refusal(router, hopper()); });
}

std::string_view moe_kernel_for(const MoeProblem& problem, std::uint32_t num_tokens, std::string_view name = {}) {
  const auto choice = choose_device_moe(problem, hopper(), num_tokens, "layer", name);
  return choice.ok() ? (*choice)->name : "none";
}
std::string_view linear_kernel_for(const DeviceLinearProblem& problem, std::uint32_t num_tokens,
                                   std::string_view name = {}) {
  const auto choice = choose_device_linear(problem, hopper(), num_tokens, "layer", name);
  return choice.ok() ? (*choice)->name : "none";
}

TEST(DeviceCatalogue, TheFastestKernelForTheTokensServes) {
  if (device_moe_kernels().empty()) return;
  for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    MoeProblem moe = qwen();
    moe.activation = activation;
    EXPECT_EQ(moe_kernel_for(moe, 1), "moe_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(moe_kernel_for(moe, 64), "moe_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(moe_kernel_for(moe, 65), "moe_nvfp4_bf16_wgmma");
    EXPECT_EQ(moe_kernel_for(moe, 8192), "moe_nvfp4_bf16_wgmma");
    DeviceLinearProblem linear = dense();
    linear.activation = activation;
    EXPECT_EQ(linear_kernel_for(linear, 8), "linear_nvfp4_bf16_mma_bulk");
    EXPECT_EQ(linear_kernel_for(linear, 9), "linear_nvfp4_bf16_wgmma");
  }
}

TEST(DeviceCatalogue, ASlowerKernelServesWhenItIsAskedForOrAlone) {
  if (device_moe_kernels().empty()) return;
  MoeProblem moe = qwen();
  EXPECT_EQ(moe_kernel_for(moe, 1, "moe_nvfp4_bf16_wgmma"), "moe_nvfp4_bf16_wgmma");
  moe.batch_invariant = true;
  EXPECT_EQ(moe_kernel_for(moe, 1), "moe_nvfp4_bf16_wgmma");
  EXPECT_EQ(moe_kernel_for(moe, 1, "moe_nvfp4_bf16_mma_bulk"), "none");
  DeviceLinearProblem linear = dense();
  EXPECT_EQ(linear_kernel_for(linear, 40, "linear_nvfp4_bf16_mma_bulk"), "linear_nvfp4_bf16_mma_bulk");
  linear.batch_invariant = true;
  EXPECT_EQ(linear_kernel_for(linear, 1), "linear_nvfp4_bf16_wgmma");
}

// One of every generation, with the shared memory that a block may have there.
std::vector<DeviceCaps> all_since_sm80() {
  std::vector<DeviceCaps> all;
  for (const auto& [sm, shared_bytes] :
       {std::pair{80U, 166912U}, {86U, 101376U}, {89U, 101376U}, {90U, 232448U}, {120U, 101376U}, {121U, 101376U}}) {
    DeviceCaps caps = hopper();
    caps.sm = sm;
    caps.shared_bytes_per_block = shared_bytes;
    caps.shared_bytes_per_sm = shared_bytes + 1024;
    all.push_back(caps);
  }
  return all;
}

// Where there is no kernel of the device's own, whatever the number of tokens.
TEST(DeviceCatalogue, Nvfp4WeightsAreServedSinceSm80) {
  if (device_linear_kernels().empty()) return;
  for (const DeviceCaps& caps : all_since_sm80()) {
    for (const std::uint32_t num_tokens : {1U, 16U, 64U, 8192U}) {
      for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
        for (const bool batch_invariant : {false, true}) {
          DeviceLinearProblem problem = dense();
          problem.activation = activation;
          problem.batch_invariant = batch_invariant;
          const auto choice = choose_device_linear(problem, caps, num_tokens, "layer");
          ASSERT_TRUE(choice.ok()) << choice.error().to_string();
          const bool is_portable = caps.sm < 90 || (caps.sm >= 120 && activation == Activation::k16Bit);
          EXPECT_EQ((*choice)->name == "linear_nvfp4_bf16_mma", is_portable) << caps.sm;
          MoeProblem moe = qwen();
          moe.activation = activation;
          moe.batch_invariant = batch_invariant;
          const auto moe_choice = choose_device_moe(moe, caps, num_tokens, "layer");
          ASSERT_TRUE(moe_choice.ok()) << moe_choice.error().to_string();
          EXPECT_EQ((*moe_choice)->name == "moe_nvfp4_bf16_mma", is_portable) << caps.sm;
        }
      }
    }
  }
}

DeviceCaps blackwell(std::uint32_t sm) {
  DeviceCaps caps = hopper();
  caps.name = "NVIDIA GeForce RTX 5090";
  caps.sm = sm;
  caps.num_sms = 170;
  caps.num_threads_per_sm = 1536;
  caps.shared_bytes_per_sm = 102400;
  caps.shared_bytes_per_block = 101376;
  return caps;
}

// What has FP4 tensor cores multiplies FP4 numbers by them, for any number of tokens, and only there.
TEST(DeviceCatalogue, Fp4ActivationsGoToTheFp4TensorCores) {
  if (device_moe_kernels().empty()) return;
  for (const Activation activation : {Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
    for (const std::uint32_t num_tokens : {1U, 8U, 64U, 8192U}) {
      MoeProblem moe = qwen();
      moe.activation = activation;
      DeviceLinearProblem linear = dense();
      linear.activation = activation;
      for (const bool batch_invariant : {false, true}) {
        moe.batch_invariant = linear.batch_invariant = batch_invariant;
        for (const std::uint32_t sm : {120U, 121U}) {
          const auto of_moe = choose_device_moe(moe, blackwell(sm), num_tokens, "layer");
          ASSERT_TRUE(of_moe.ok()) << of_moe.error().to_string();
          EXPECT_EQ((*of_moe)->name, "moe_nvfp4_nvfp4_mma");
          EXPECT_EQ((*of_moe)->nvfp4_layout, DeviceWeightLayout::kBlockScaled16x64);
          const auto of_linear = choose_device_linear(linear, blackwell(sm), num_tokens, "layer");
          ASSERT_TRUE(of_linear.ok()) << of_linear.error().to_string();
          EXPECT_EQ((*of_linear)->name, "linear_nvfp4_nvfp4_mma");
          EXPECT_EQ((*of_linear)->nvfp4_layout, DeviceWeightLayout::kBlockScaled16x64);
        }
        for (const std::uint32_t sm : {86U, 89U, 90U, 100U}) {
          EXPECT_FALSE(choose_device_moe(moe, blackwell(sm), num_tokens, "layer", "moe_nvfp4_nvfp4_mma").ok());
          EXPECT_FALSE(choose_device_linear(linear, blackwell(sm), num_tokens, "layer", "linear_nvfp4_nvfp4_mma").ok());
        }
      }
    }
  }
  MoeProblem moe = qwen();
  EXPECT_FALSE(choose_device_moe(moe, blackwell(120), 1, "layer", "moe_nvfp4_nvfp4_mma").ok());
}

// Whatever layout a kernel reads, weights can be brought into it.
TEST(DeviceCatalogue, ThereIsAPackerForEveryKernel) {
  for (const DeviceMoeKernel& kernel : device_moe_kernels()) {
    ASSERT_NE(device_packer(kernel.nvfp4_layout), nullptr) << kernel.name;
    EXPECT_EQ(device_packer(kernel.nvfp4_layout)->layout, kernel.nvfp4_layout);
  }
  for (const DeviceLinearKernel& kernel : device_linear_kernels()) {
    ASSERT_NE(device_packer(kernel.nvfp4_layout), nullptr) << kernel.name;
    EXPECT_EQ(device_packer(kernel.nvfp4_layout)->layout, kernel.nvfp4_layout);
  }
  EXPECT_EQ(device_packer(DeviceWeightLayout::kRowMajor), nullptr);
}

// Weights that are not NVFP4, whatever the number of tokens.
TEST(DeviceCatalogue, PlainWeightsAreServedSinceSm80) {
  if (device_linear_kernels().empty()) return;
  for (const DeviceCaps& caps : all_since_sm80()) {
    for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kBF16}) {
      for (const std::uint32_t num_tokens : {1U, 16U, 64U, 8192U}) {
        DeviceLinearProblem problem = dense();
        problem.weight = format;
        const auto choice = choose_device_linear(problem, caps, num_tokens, "layer");
        EXPECT_TRUE(choice.ok()) << choice.error().to_string();
        if (format == WeightFormat::kBF16) continue;
        problem.activation = Activation::kFp8Dynamic;
        problem.per_row_scale = true;
        EXPECT_TRUE(choose_device_linear(problem, caps, num_tokens, "layer").ok());
      }
    }
  }
}

TEST(DeviceCatalogue, AKernelCanBeAskedForByName) {
  RouterProblem problem;
  problem.num_experts = 128;
  problem.top_k = 8;
  for (const DeviceRouterKernel& kernel : device_router_kernels()) {
    const auto choice = choose_device_router(problem, hopper(), "layer", kernel.name);
    ASSERT_TRUE(choice.ok()) << choice.error().to_string();
    EXPECT_EQ((*choice)->name, kernel.name);
  }
  const auto none = choose_device_router(problem, hopper(), "layer", "router_of_nobody");
  ASSERT_FALSE(none.ok());
  for (const DeviceRouterKernel& kernel : device_router_kernels()) {
    EXPECT_THAT(none.error().to_string(), HasSubstr("\"router_of_nobody\""));
    EXPECT_THAT(none.error().to_string(), HasSubstr(std::string(kernel.name)));
  }
}

}  // namespace
}  // namespace nvfp4::kernels
