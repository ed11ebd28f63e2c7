// The machine that a plan is for: a GPU or a processor, this one, a known one, or one that a file describes.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/cpu_features.h"
#include "device/device_caps.h"
#include "device/known_devices.h"
#include "nvfp4/result.h"

namespace nvfp4::plan {

struct Cpu {
  std::string name;
  InstructionSet instruction_set = InstructionSet::kPortable;
  std::uint32_t num_workers = 1;
  // At most, as its maker publishes it; a multiplication and an addition are two.
  double memory_gb_per_s = 0;
  double f32_gflops = 0;
};

struct Gpu {
  DeviceCaps caps;
  DeviceRates rates;
};

using Machine = std::variant<Cpu, Gpu>;

// "NVIDIA H200 (sm90)", "AMD EPYC 7763 (cpu-avx2, 64 workers)".
[[nodiscard]] std::string machine_text(const Machine& machine);

// A processor for each instruction set, by the names that find_machine() knows: "cpu-avx2".
struct KnownCpu {
  std::string key;
  Cpu cpu;
};
[[nodiscard]] const std::vector<KnownCpu>& known_cpus();

// "sm90", "h200", "cpu-avx2"; an Error suggests the nearest name. What is here is the caller's to say.
[[nodiscard]] Result<Machine> find_machine(std::string_view name);

// Of a processor that is here: what is not known of it is that of the known one with its instruction set.
[[nodiscard]] Cpu cpu_of(std::string name, InstructionSet instruction_set, std::uint32_t num_workers);

}  // namespace nvfp4::plan
