// A layer on a device for any number of tokens up to a maximum: which kernel serves how many of them. The plans of all
// share one workspace; no two of them run at once with it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "nvfp4/result.h"

namespace nvfp4::kernels {

template <class Kernel, class Plan>
class DeviceSchedule {
 public:
  struct Range {
    std::uint32_t max_tokens = 0;  // and more than those of the range before
    Kernel kernel;
    Plan plan;
    std::size_t workspace_begin = 0;
  };

  // choose(max_tokens) -> Result<const Kernel*>; plan(kernel, max_tokens) -> Result<Plan>. Each kernel that is chosen
  // is chosen for neighbouring numbers of tokens.
  template <class Choose, class MakePlan>
  static Result<DeviceSchedule> make(std::uint32_t max_tokens, const Choose& choose, const MakePlan& plan) {
    DeviceSchedule schedule;
    for (std::uint32_t first = 1; first <= max_tokens;) {
      const auto kernel = choose(first);
      NVFP4_RETURN_IF_ERROR(kernel);
      const auto last = last_of(*kernel, first, max_tokens, choose);
      NVFP4_RETURN_IF_ERROR(last);
      NVFP4_RETURN_IF_ERROR(schedule.append(**kernel, *last, plan));
      first = *last + 1;
    }
    schedule.place();
    return schedule;
  }

  // Of kernels that were chosen already, each for up to so many tokens, ascending.
  template <class MakePlan>
  static Result<DeviceSchedule> of(const std::vector<std::pair<std::uint32_t, const Kernel*>>& chosen,
                                   const MakePlan& plan) {
    DeviceSchedule schedule;
    for (const auto& [last, kernel] : chosen) NVFP4_RETURN_IF_ERROR(schedule.append(*kernel, last, plan));
    schedule.place();
    return schedule;
  }

  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }
  // Of NVFP4 weights; all kernels read the same.
  [[nodiscard]] DeviceWeightLayout nvfp4_layout() const {
    return ranges_.empty() ? DeviceWeightLayout::kFragment16x64 : ranges_[0].kernel.nvfp4_layout;
  }
  [[nodiscard]] std::uint32_t max_tokens() const { return ranges_.empty() ? 0 : ranges_.back().max_tokens; }
  // The range that serves so many, at most max_tokens().
  [[nodiscard]] const Range& range_of(std::uint32_t num_tokens) const {
    return *std::lower_bound(ranges_.begin(), ranges_.end(), num_tokens,
                             [](const Range& range, std::uint32_t tokens) { return range.max_tokens < tokens; });
  }

  // As device_plan.h says of a plan.
  [[nodiscard]] std::size_t workspace_bytes() const { return workspace_bytes_; }
  [[nodiscard]] std::size_t zeroed_bytes() const { return zeroed_bytes_; }

  // Runs the kernel for args.num_tokens; an Error when there are more than max_tokens().
  template <class Weights, class Args>
  [[nodiscard]] Status run(const Weights& weights, const Args& args, const DeviceWorkspace& workspace,
                           DeviceStream stream) const {
    if (args.num_tokens > max_tokens()) {
      return Error{ErrorCode::kInvalidArgument, "num_tokens",
                   std::to_string(args.num_tokens) + " tokens; the layer is planned for at most " +
                       std::to_string(max_tokens())};
    }
    if (args.num_tokens == 0) return {};
    const Range& range = range_of(args.num_tokens);
    if (workspace.num_bytes < range.workspace_begin) {
      return Error{ErrorCode::kInvalidArgument, "workspace",
                   std::to_string(workspace.num_bytes) + " bytes; the layer needs " + std::to_string(workspace_bytes_)};
    }
    return range.kernel.run(range.plan, weights, args,
                            {workspace.data + range.workspace_begin, workspace.num_bytes - range.workspace_begin},
                            stream);
  }

 private:
  template <class MakePlan>
  Status append(const Kernel& kernel, std::uint32_t last, const MakePlan& plan) {
    if (!ranges_.empty() && kernel.nvfp4_layout != nvfp4_layout()) {
      return Error{ErrorCode::kUnsupported, std::string(kernel.name),
                   "it reads weights in another layout than " + std::string(ranges_[0].kernel.name) +
                       ", which serves fewer tokens of the layer; ask for one of them by its name"};
    }
    auto planned = plan(kernel, last);
    NVFP4_RETURN_IF_ERROR(planned);
    ranges_.push_back({last, kernel, std::move(planned).value(), 0});
    return {};
  }

  template <class Choose>
  static Result<std::uint32_t> last_of(const Kernel* kernel, std::uint32_t first, std::uint32_t max_tokens,
                                       const Choose& choose) {
    std::uint32_t last = first;
    for (std::uint32_t beyond = max_tokens + 1; beyond - last > 1;) {
      const std::uint32_t middle = last + (beyond - last) / 2;
      const auto chosen = choose(middle);
      NVFP4_RETURN_IF_ERROR(chosen);
      (*chosen == kernel ? last : beyond) = middle;
    }
    return last;
  }

  // Bytes that must be 0 end where those of every plan end, and are the same ones for all.
  void place() {
    for (const Range& range : ranges_) zeroed_bytes_ = std::max(zeroed_bytes_, range.plan.sizes.zeroed_bytes);
    for (Range& range : ranges_) {
      range.workspace_begin = zeroed_bytes_ - range.plan.sizes.zeroed_bytes;
      workspace_bytes_ = std::max(workspace_bytes_, range.workspace_begin + range.plan.sizes.workspace_bytes);
    }
  }

  std::vector<Range> ranges_;
  std::size_t workspace_bytes_ = 0;
  std::size_t zeroed_bytes_ = 0;
};

using DeviceMoeSchedule = DeviceSchedule<DeviceMoeKernel, DeviceMoePlan>;
using DeviceLinearSchedule = DeviceSchedule<DeviceLinearKernel, DeviceLinearPlan>;

// Kernels as choose_device_moe() and choose_device_linear() choose them; the device is the current one.
[[nodiscard]] Result<DeviceMoeSchedule> schedule_device_moe(const MoeProblem& problem, const DeviceCaps& caps,
                                                            std::uint32_t max_tokens, const std::string& where,
                                                            std::string_view kernel_name = {});
[[nodiscard]] Result<DeviceLinearSchedule> schedule_device_linear(const DeviceLinearProblem& problem,
                                                                  const DeviceCaps& caps, std::uint32_t max_tokens,
                                                                  const std::string& where,
                                                                  std::string_view kernel_name = {});

}  // namespace nvfp4::kernels
