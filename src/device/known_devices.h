// GPUs whose figures are known without having one: a card for each compute capability.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "device/device_caps.h"

namespace nvfp4 {

// What a card can reach at most, as its maker publishes it. Products are dense, summed in float32; 0: not in hardware.
struct DeviceRates {
  double memory_gb_per_s = 0;
  double bf16_tflops = 0;
  double fp8_tflops = 0;
  double fp4_tflops = 0;
};

struct KnownDevice {
  std::string_view key;   // "sm90"
  std::string_view card;  // "h200"
  DeviceCaps caps;
  DeviceRates rates;
};

[[nodiscard]] std::span<const KnownDevice> known_devices();
// By key or card; null when there is none.
[[nodiscard]] const KnownDevice* find_known_device(std::string_view name);
// Of a device that is here: those of the same card, or of the card with its compute capability, as many times as it has
// more multiprocessors. Zeros when nothing is known.
[[nodiscard]] DeviceRates rates_of(const DeviceCaps& caps);

}  // namespace nvfp4
