// Activations of one token, quantised for a linear layer: no checks, no allocation. What each rule does is told in
// nvfp4/quantize.h.
#pragma once

#include <cstdint>
#include <span>

#include "nvfp4/quantize.h"

namespace nvfp4 {

// values [k] -> codes [k / 2], block_scales [k / 16] E4M3. scale2_stored is the input scale as the producer stores it.
void quantize_activation_row(std::span<const float> values, QuantizerRule rule, float scale2_stored,
                             std::span<std::uint8_t> codes, std::span<std::uint8_t> block_scales);

}  // namespace nvfp4
