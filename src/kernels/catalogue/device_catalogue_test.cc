#include "kernels/catalogue/device_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

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

template <class Kernel, class Choice, class Refusal>
void expect_first_that_accepts(std::span<const Kernel> kernels, const Choice& choice, Refusal refusal) {
  const auto first = std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& k) { return refusal(k).empty(); });
  ASSERT_EQ(choice.ok(), first != kernels.end());
  if (choice.ok()) {
    EXPECT_EQ((*choice)->name, first->name);
  }
}

TEST(DeviceCatalogue, TheFirstKernelThatAcceptsServes) {
  for (const std::uint32_t num_tokens : {1U, 16U, 64U, 512U, 8192U}) {
    SCOPED_TRACE(num_tokens);
    for (const Activation activation : {Activation::k16Bit, Activation::kNvfp4Static, Activation::kNvfp4Dynamic}) {
      MoeProblem moe = qwen();
      moe.activation = activation;
      expect_first_that_accepts(device_moe_kernels(), choose_device_moe(moe, hopper(), num_tokens, "layer"),
                                [&](const DeviceMoeKernel& k) { return k.refusal(moe, hopper(), num_tokens); });
      DeviceLinearProblem linear = dense();
      linear.activation = activation;
      expect_first_that_accepts(device_linear_kernels(), choose_device_linear(linear, hopper(), num_tokens, "layer"),
                                [&](const DeviceLinearKernel& k) { return k.refusal(linear, hopper(), num_tokens); });
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
