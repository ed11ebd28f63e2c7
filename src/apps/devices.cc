// nvfp4 devices: the machines that are here, what the program was built for, and those that plans know besides.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/command.h"
#include "apps/here.h"
#include "plan/machine_file.h"

namespace nvfp4::apps {
namespace {

struct DevicesOptions {
  std::string device;
  bool json = false;
};

std::string figures(const plan::Machine& machine) {
  if (const plan::Cpu* cpu = std::get_if<plan::Cpu>(&machine)) {
    return fmt::format("{:.0f} GB/s, {:.0f} GFLOP/s of 32-bit floats", cpu->memory_gb_per_s, cpu->f32_gflops);
  }
  const auto& [caps, rates] = std::get<plan::Gpu>(machine);
  std::string text = fmt::format(
      "{} multiprocessors, {} bytes of shared memory a block, {} of memory, {:.0f} GB/s, BF16 {:.0f} TFLOP/s",
      caps.num_sms, caps.shared_bytes_per_block, human_bytes(static_cast<double>(caps.memory_bytes)),
      rates.memory_gb_per_s, rates.bf16_tflops);
  if (rates.fp8_tflops > 0) text += fmt::format(", FP8 {:.0f}", rates.fp8_tflops);
  if (rates.fp4_tflops > 0) text += fmt::format(", FP4 {:.0f}", rates.fp4_tflops);
  return text;
}

void print_line(const std::string& key, const plan::Machine& machine) {
  fmt::print("  {:<16} {}: {}\n", key, printable(plan::machine_text(machine)), figures(machine));
}

int print_all() {
  const BuiltFor built = built_for();
  fmt::print("here\n");
  print_line("cpu", cpu_here());
  const auto gpus = gpus_here();
  if (gpus) {
    for (const plan::Gpu& gpu : *gpus) print_line("cuda", gpu);
  } else {
    fmt::print("  no GPU: {}\n", printable(gpus.error().message));
  }
  fmt::print("built for\n  processors: {}\n", fmt::join(built.instruction_sets, ", "));
  fmt::print("  GPUs: {}\n", built.gpu_architectures.empty()
                                 ? "none; plans can be made for them, and run elsewhere"
                                 : fmt::format("{}", fmt::join(built.gpu_architectures, ", ")));
  fmt::print("known, for plans (--device)\n");
  for (const KnownDevice& known : known_devices()) {
    print_line(fmt::format("{}, {}", known.key, known.card), plan::Gpu{known.caps, known.rates});
  }
  for (const plan::KnownCpu& known : plan::known_cpus()) print_line(known.key, known.cpu);
  return kDone;
}

nlohmann::ordered_json all_json() {
  const auto parsed = [](const plan::Machine& machine) {
    return nlohmann::ordered_json::parse(plan::machine_json(machine));
  };
  nlohmann::ordered_json out;
  out["cpu"] = parsed(cpu_here());
  out["gpus"] = nlohmann::ordered_json::array();
  const auto gpus = gpus_here();
  if (gpus) {
    for (const plan::Gpu& gpu : *gpus) out["gpus"].push_back(parsed(gpu));
  } else {
    out["no_gpu"] = gpus.error().message;
  }
  const BuiltFor built = built_for();
  out["built_for"] = {{"instruction_sets", built.instruction_sets}, {"gpu_architectures", built.gpu_architectures}};
  out["known"] = nlohmann::ordered_json::object();
  for (const KnownDevice& known : known_devices()) {
    out["known"][std::string(known.key)] = parsed(plan::Gpu{known.caps, known.rates});
  }
  for (const plan::KnownCpu& known : plan::known_cpus()) out["known"][known.key] = parsed(known.cpu);
  return out;
}

int run(const DevicesOptions& options) {
  if (options.device.empty()) {
    if (!options.json) return print_all();
    fmt::print("{}\n", all_json().dump(2));
    return kDone;
  }
  const auto machine = machine_argument(options.device);
  if (!machine) return report(machine.error());
  if (options.json) {
    fmt::print("{}\n", nlohmann::ordered_json::parse(plan::machine_json(*machine)).dump(2));
  } else {
    print_line(options.device, *machine);
  }
  return kDone;
}

}  // namespace

Command add_devices_command(CLI::App& app) {
  auto options = std::make_shared<DevicesOptions>();
  CLI::App* parser = app.add_subcommand("devices", "The machines that are here, and those that plans know");
  parser->add_option("--device", options->device, "one of them: cpu, cuda, sm90, h200, cpu-avx2, ..., or a file");
  parser->add_flag("--json", options->json, "as JSON; of one machine: a file for nvfp4 plan --device FILE");
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
