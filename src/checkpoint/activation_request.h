// What is done with the inputs of quantised layers. The checkpoint's policy is binding unless somebody asks for
// another.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

enum class ActivationRequest : std::uint8_t {
  kCheckpoint,  // what the checkpoint asks for
  kW4A16,       // nothing: activations stay as they are, in every layer
  kW4A4,        // NVFP4 in every NVFP4 layer; under a scale per token where the checkpoint has no scale
};

// What decides it.
struct QuantizedInput {
  bool is_nvfp4 = false;                       // the weight
  std::uint32_t block_size = 0;                // of NVFP4
  Activation activation = Activation::k16Bit;  // that the checkpoint asks for
  bool has_input_scale = false;
};

struct ActivationChoice {
  Activation activation = Activation::k16Bit;
  std::string_view reason;  // empty: the checkpoint's own
};
// `where` names the weight in an Error.
[[nodiscard]] Result<ActivationChoice> choose_activation(const QuantizedInput& input, ActivationRequest request,
                                                         const std::string& where);

}  // namespace nvfp4::checkpoint
