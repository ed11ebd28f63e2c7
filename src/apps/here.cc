#include "apps/here.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "apps/command.h"
#include "apps/input.h"
#include "apps/machine.h"
#include "base/cpu_features.h"
#include "base/cpu_topology.h"
#include "device/device.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "nvfp4/version.h"
#include "plan/machine_file.h"

namespace nvfp4::apps {

plan::Cpu cpu_here() {
  return plan::cpu_of(processor_name(), best_instruction_set(), static_cast<std::uint32_t>(default_num_workers()));
}

Result<std::vector<plan::Gpu>> gpus_here() {
  const auto count = Device::count();
  NVFP4_RETURN_IF_ERROR(count);
  std::vector<plan::Gpu> gpus;
  for (std::uint32_t device_idx = 0; device_idx < *count; ++device_idx) {
    const auto device = Device::open(device_idx);
    NVFP4_RETURN_IF_ERROR(device);
    gpus.push_back({device->caps(), rates_of(device->caps())});
  }
  return gpus;
}

Result<plan::Machine> machine_argument(const std::string& name) {
  if (name == "cpu") return plan::Machine(cpu_here());
  if (name == "cuda") {
    auto gpus = gpus_here();
    NVFP4_RETURN_IF_ERROR(gpus);
    return plan::Machine(gpus->front());
  }
  if (name.find('/') == std::string::npos && !name.ends_with(".json")) return plan::find_machine(name);
  auto text = read_text(name);
  NVFP4_RETURN_IF_ERROR(text);
  return plan::parse_machine(*text, name);
}

Result<std::shared_ptr<const plan::MeasuredTable>> table_argument(const std::string& file,
                                                                  const plan::Machine& machine) {
  if (file.empty()) return std::shared_ptr<const plan::MeasuredTable>();
  const auto text = read_text(file);
  NVFP4_RETURN_IF_ERROR(text);
  auto table = plan::parse_measured_table(*text, file);
  NVFP4_RETURN_IF_ERROR(table);
  NVFP4_RETURN_IF_ERROR(plan::check_measured_table(*table, machine, build_name()));
  return std::shared_ptr<const plan::MeasuredTable>(std::make_shared<plan::MeasuredTable>(std::move(table).value()));
}

BuiltFor built_for() {
  BuiltFor built;
  for (const InstructionSet set : kInstructionSets) {
    for (const kernels::LinearKernel& kernel : kernels::linear_kernels()) {
      if (kernel.needs != set) continue;
      built.instruction_sets.emplace_back(instruction_set_name(set));
      break;
    }
  }
#if defined(NVFP4_CUDA_BUILT_FOR)
  // "80-real;90a-real" as CMake has it.
  for (std::string_view list = NVFP4_CUDA_BUILT_FOR; !list.empty();) {
    const std::size_t end = list.find(',');
    const std::string_view one = list.substr(0, end);
    built.gpu_architectures.push_back(fmt::format("sm_{}", one.substr(0, one.find('-'))));
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
#endif
  return built;
}

std::string build_name() {
#if defined(__clang__)
  std::string name = fmt::format("{} Clang {}.{}", version(), __clang_major__, __clang_minor__);
#else
  std::string name = fmt::format("{} GNU {}.{}", version(), __GNUC__, __GNUC_MINOR__);
#endif
#if !defined(__OPTIMIZE__)
  name += " unoptimised";
#endif
  for (const std::string& gpu : built_for().gpu_architectures) name += " " + gpu;
  return name;
}

}  // namespace nvfp4::apps
