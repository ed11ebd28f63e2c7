#include "kernels/catalogue/device_schedule.h"

#include "kernels/catalogue/device_catalogue.h"

namespace nvfp4::kernels {

Result<DeviceMoeSchedule> schedule_device_moe(const MoeProblem& problem, const DeviceCaps& caps,
                                              std::uint32_t max_tokens, const std::string& where,
                                              std::string_view kernel_name) {
  return DeviceMoeSchedule::make(
      max_tokens, [&](std::uint32_t tokens) { return choose_device_moe(problem, caps, tokens, where, kernel_name); },
      [&](const DeviceMoeKernel& kernel, std::uint32_t tokens) { return kernel.plan(problem, caps, tokens); });
}

Result<DeviceLinearSchedule> schedule_device_linear(const DeviceLinearProblem& problem, const DeviceCaps& caps,
                                                    std::uint32_t max_tokens, const std::string& where,
                                                    std::string_view kernel_name) {
  return DeviceLinearSchedule::make(
      max_tokens, [&](std::uint32_t tokens) { return choose_device_linear(problem, caps, tokens, where, kernel_name); },
      [&](const DeviceLinearKernel& kernel, std::uint32_t tokens) { return kernel.plan(problem, caps, tokens); });
}

}  // namespace nvfp4::kernels
