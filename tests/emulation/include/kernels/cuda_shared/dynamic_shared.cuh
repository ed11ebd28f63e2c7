// The header of the same name, for the host.
#pragma once

#include <cstdint>

#include "emulation/block.h"

namespace nvfp4::kernels {

inline std::uint8_t* dynamic_shared() {
  return reinterpret_cast<std::uint8_t*>(emulation::Block::running()->shared.dynamic());
}

}  // namespace nvfp4::kernels
