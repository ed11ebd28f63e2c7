// Tests of kernels run on GPUs, and on an emulated one (tests/emulation), which is far slower and is spared large
// cases.
#pragma once

#include <cstdint>

namespace nvfp4::support {

#if defined(NVFP4_EMULATED_DEVICE)
inline constexpr bool kIsEmulated = true;
#else
inline constexpr bool kIsEmulated = false;
#endif

// The size for the device that tests run on.
[[nodiscard]] constexpr std::uint32_t size_for(std::uint32_t gpu, std::uint32_t emulated) {
  return kIsEmulated ? emulated : gpu;
}

[[nodiscard]] constexpr bool is_for_gpus_only(std::uint64_t size, std::uint64_t most_emulated) {
  return kIsEmulated && size > most_emulated;
}

}  // namespace nvfp4::support
