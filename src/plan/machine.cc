#include "plan/machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest_name.h"

namespace nvfp4::plan {
namespace {

// Cores, channels' bandwidth, and FMAs of 32 bits in a cycle.
Cpu processor(std::string name, InstructionSet set, std::uint32_t cores, double gb_per_s, double ghz, double fmas) {
  return {std::move(name), set, cores, gb_per_s, 2 * fmas * ghz * cores};
}

std::string key_of(InstructionSet set) { return fmt::format("cpu-{}", instruction_set_name(set)); }

}  // namespace

const std::vector<KnownCpu>& known_cpus() {
  using enum InstructionSet;
  static const std::vector<KnownCpu> cpus = [] {
    std::vector<KnownCpu> list;
    for (const Cpu& cpu : {processor("Ampere Altra Q80-30, plain C++", kPortable, 80, 205, 3.0, 8),
                           processor("AMD EPYC 7763", kAvx2, 64, 205, 2.45, 16),
                           processor("Intel Xeon Platinum 8180", kAvx512, 28, 128, 1.7, 32),
                           processor("Intel Xeon Platinum 8280", kAvx512Vnni, 28, 141, 1.8, 32),
                           processor("Intel Xeon Platinum 8592+", kAvx512Vbmi, 64, 358, 1.9, 32),
                           processor("AMD EPYC 9654", kAvx512Bf16, 96, 461, 2.4, 16)}) {
      list.push_back({key_of(cpu.instruction_set), cpu});
    }
    return list;
  }();
  return cpus;
}

Result<Machine> find_machine(std::string_view name) {
  if (const KnownDevice* device = find_known_device(name)) return Machine(Gpu{device->caps, device->rates});
  for (const KnownCpu& known : known_cpus()) {
    if (known.key == name) return Machine(known.cpu);
  }
  std::vector<std::string_view> names = {"cpu", "cuda"};
  for (const KnownDevice& device : known_devices()) names.insert(names.end(), {device.key, device.card});
  for (const KnownCpu& known : known_cpus()) names.push_back(known.key);
  return Error{ErrorCode::kInvalidArgument, "--device",
               fmt::format("no machine is called \"{}\"; {}", name, suggestion(name, names))};
}

Cpu cpu_of(std::string name, InstructionSet instruction_set, std::uint32_t num_workers) {
  for (const KnownCpu& known : known_cpus()) {
    if (known.cpu.instruction_set != instruction_set) continue;
    Cpu cpu = known.cpu;
    const double share = std::min(1.0, static_cast<double>(num_workers) / cpu.num_workers);
    cpu.name = std::move(name);
    cpu.num_workers = num_workers;
    cpu.f32_gflops *= share;
    cpu.memory_gb_per_s *= std::min(1.0, 4 * share);  // a quarter of the cores takes all of it
    return cpu;
  }
  return {std::move(name), instruction_set, num_workers, 0, 0};
}

std::string machine_text(const Machine& machine) {
  if (const Gpu* gpu = std::get_if<Gpu>(&machine)) return fmt::format("{} (sm{})", gpu->caps.name, gpu->caps.sm);
  const Cpu& cpu = std::get<Cpu>(machine);
  return fmt::format("{} ({}, {} worker{})", cpu.name, key_of(cpu.instruction_set), cpu.num_workers,
                     cpu.num_workers == 1 ? "" : "s");
}

}  // namespace nvfp4::plan
