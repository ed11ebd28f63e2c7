// What is done with the inputs of quantised layers. The checkpoint's policy is binding unless somebody asks for
// another.
#pragma once

#include <cstdint>
#include <string>

#include "nvfp4/result.h"
#include "plan/layer.h"

namespace nvfp4::plan {

enum class ActivationRequest : std::uint8_t {
  kCheckpoint,  // what the checkpoint asks for
  kW4A16,       // nothing: activations stay as they are, in every layer
  kW4A4,        // NVFP4 in every NVFP4 layer; under a scale per token where the checkpoint has no scale
};

struct ActivationChoice {
  Activation activation = Activation::k16Bit;
  std::string reason;  // empty: the checkpoint's
};
[[nodiscard]] Result<ActivationChoice> choose_activation(const Layer& layer, ActivationRequest request);

}  // namespace nvfp4::plan
