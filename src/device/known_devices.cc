#include "device/known_devices.h"

#include <algorithm>
#include <string>
#include <vector>

namespace nvfp4 {
namespace {

constexpr std::uint64_t kMiB = 1ULL << 20U;
constexpr std::uint64_t kGiB = 1ULL << 30U;

// Compute capabilities differ in these.
struct Generation {
  std::uint32_t sm, num_threads_per_sm, shared_kib_per_sm;
};

DeviceCaps caps_of(const Generation& generation, std::string name, std::uint32_t num_sms, std::uint64_t l2_mib,
                   std::uint64_t memory_gib) {
  constexpr std::uint64_t kReserved = 1024;
  DeviceCaps caps;
  caps.name = std::move(name);
  caps.sm = generation.sm;
  caps.num_sms = num_sms;
  caps.num_threads_per_sm = generation.num_threads_per_sm;
  caps.num_registers_per_sm = 65536;
  caps.shared_bytes_per_sm = std::uint64_t{generation.shared_kib_per_sm} << 10U;
  caps.shared_bytes_per_block = caps.shared_bytes_per_sm - kReserved;
  caps.reserved_shared_bytes = kReserved;
  caps.l2_bytes = l2_mib * kMiB;
  caps.memory_bytes = memory_gib * kGiB;
  return caps;
}

std::vector<KnownDevice> all_devices() {
  return {
      {"sm80", "a100", caps_of({80, 2048, 164}, "NVIDIA A100-SXM4-80GB", 108, 40, 80), {2039, 312, 0, 0}},
      {"sm86", "rtx3090", caps_of({86, 1536, 100}, "NVIDIA GeForce RTX 3090", 82, 6, 24), {936, 71, 0, 0}},
      {"sm89", "rtx4090", caps_of({89, 1536, 100}, "NVIDIA GeForce RTX 4090", 128, 72, 24), {1008, 165, 330, 0}},
      {"sm90", "h200", caps_of({90, 2048, 228}, "NVIDIA H200", 132, 60, 140), {4800, 989, 1979, 0}},
      {"sm120", "rtx5090", caps_of({120, 1536, 100}, "NVIDIA GeForce RTX 5090", 170, 96, 32), {1792, 210, 419, 1676}},
      {"sm121", "gb10", caps_of({121, 1536, 100}, "NVIDIA GB10", 48, 24, 120), {273, 125, 250, 500}},
  };
}

}  // namespace

std::span<const KnownDevice> known_devices() {
  static const std::vector<KnownDevice> devices = all_devices();
  return devices;
}

const KnownDevice* find_known_device(std::string_view name) {
  const std::span<const KnownDevice> devices = known_devices();
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const KnownDevice& device) { return device.key == name || device.card == name; });
  return found == devices.end() ? nullptr : &*found;
}

DeviceRates rates_of(const DeviceCaps& caps) {
  for (const KnownDevice& known : known_devices()) {
    if (known.caps.name == caps.name) return known.rates;
  }
  for (const KnownDevice& known : known_devices()) {
    if (known.caps.sm != caps.sm) continue;
    const double share = static_cast<double>(caps.num_sms) / known.caps.num_sms;
    return {known.rates.memory_gb_per_s * share, known.rates.bf16_tflops * share, known.rates.fp8_tflops * share,
            known.rates.fp4_tflops * share};
  }
  return {};
}

}  // namespace nvfp4
