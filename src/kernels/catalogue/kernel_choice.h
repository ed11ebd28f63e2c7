// The first of a list that accepts a problem.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/nearest_name.h"
#include "device/device_caps.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

template <class Kernel>
Error no_such_kernel(std::span<const Kernel> kernels, const std::string& where, std::string_view name) {
  if (kernels.empty()) return Error{ErrorCode::kInvalidArgument, where, "this build has no such kernels for GPUs"};
  std::string known;
  std::vector<std::string_view> names;
  for (const Kernel& kernel : kernels) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", kernel.name);
    names.push_back(kernel.name);
  }
  const std::string_view nearest = nearest_name(name, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest);
  return Error{ErrorCode::kInvalidArgument, where,
               fmt::format("no kernel for GPUs is called \"{}\"; there are {}{}", name, known, hint)};
}

// refusal(kernel): why not, in words. is_best(kernel): whether no other that accepts is faster. what: the problem, in
// words.
template <class Kernel, class Refusal, class IsBest>
Result<const Kernel*> choose_kernel(std::span<const Kernel> kernels, const std::string& what, const std::string& where,
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

inline std::string device_text(const DeviceCaps& caps) {
  return fmt::format("{} (compute capability {}.{})", caps.name, caps.sm / 10, caps.sm % 10);
}

}  // namespace nvfp4::kernels
