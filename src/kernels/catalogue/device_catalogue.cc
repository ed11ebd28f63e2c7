#include "kernels/catalogue/device_catalogue.h"

#include <fmt/format.h>

#include <algorithm>

namespace nvfp4::kernels {
namespace {

template <class Kernel>
Error no_such_kernel(std::span<const Kernel> kernels, const std::string& where, std::string_view name) {
  std::string known;
  for (const Kernel& kernel : kernels) known += fmt::format("{}{}", known.empty() ? "" : ", ", kernel.name);
  return Error{ErrorCode::kInvalidArgument, where,
               known.empty() ? "this build has no such kernels for GPUs"
                             : fmt::format("no kernel for GPUs is called \"{}\"; there are {}", name, known)};
}

// refusal(kernel): why not, in words. is_best(kernel): whether no other that accepts is faster. what: the problem, in
// words.
template <class Kernel, class Refusal, class IsBest>
Result<const Kernel*> choose(std::span<const Kernel> kernels, const std::string& what, const std::string& where,
                             std::string_view kernel_name, Refusal refusal, IsBest is_best) {
  const auto is_meant = [&](const Kernel& kernel) { return kernel_name.empty() || kernel.name == kernel_name; };
  if (std::none_of(kernels.begin(), kernels.end(), is_meant)) return no_such_kernel(kernels, where, kernel_name);
  std::string refusals;
  const Kernel* slower = nullptr;
  for (const Kernel& kernel : kernels) {
    if (!is_meant(kernel)) continue;
    const std::string why = refusal(kernel);
    if (why.empty() && is_best(kernel)) return &kernel;
    if (why.empty() && slower == nullptr) slower = &kernel;
    if (!why.empty()) refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : "; ", kernel.name, why);
  }
  if (slower != nullptr) return slower;
  return Error{ErrorCode::kUnsupported, where, fmt::format("no kernel serves {} ({})", what, refusals)};
}

std::string device_text(const DeviceCaps& caps) {
  return fmt::format("{} (compute capability {}.{})", caps.name, caps.sm / 10, caps.sm % 10);
}

}  // namespace

Result<const DeviceMoeKernel*> choose_device_moe(const MoeProblem& problem, const DeviceCaps& caps,
                                                 std::uint32_t max_tokens, const std::string& where,
                                                 std::string_view kernel_name) {
  const std::string what =
      fmt::format("{} experts [{}, {}] with {} and {} activations, {} tokens, on {}", problem.num_experts,
                  problem.hidden, problem.intermediate, expert_function_name(problem.function),
                  activation_name(problem.activation), max_tokens, device_text(caps));
  return choose(
      device_moe_kernels(), what, where, kernel_name,
      [&](const DeviceMoeKernel& kernel) { return kernel.refusal(problem, caps, max_tokens); },
      [&](const DeviceMoeKernel& kernel) { return max_tokens <= kernel.best_max_tokens; });
}

Result<const DeviceLinearKernel*> choose_device_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                                       std::uint32_t max_tokens, const std::string& where,
                                                       std::string_view kernel_name) {
  const std::string what = fmt::format("{} weights [{}, {}] with {} activations, {} tokens, on {}",
                                       weight_format_name(problem.weight), problem.out_features, problem.in_features,
                                       activation_name(problem.activation), max_tokens, device_text(caps));
  return choose(
      device_linear_kernels(), what, where, kernel_name,
      [&](const DeviceLinearKernel& kernel) { return kernel.refusal(problem, caps, max_tokens); },
      [&](const DeviceLinearKernel& kernel) { return max_tokens <= kernel.best_max_tokens; });
}

Result<const DeviceRouterKernel*> choose_device_router(const RouterProblem& problem, const DeviceCaps& caps,
                                                       const std::string& where, std::string_view kernel_name) {
  const std::string what =
      fmt::format("a choice of {} from {} experts on {}", problem.top_k, problem.num_experts, device_text(caps));
  return choose(
      device_router_kernels(), what, where, kernel_name,
      [&](const DeviceRouterKernel& kernel) { return kernel.refusal(problem, caps); },
      [](const DeviceRouterKernel& /*kernel*/) { return true; });
}

}  // namespace nvfp4::kernels
