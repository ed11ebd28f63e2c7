#include "plan/activation_request.h"

#include <fmt/format.h>

namespace nvfp4::plan {

Result<ActivationChoice> choose_activation(const Layer& layer, ActivationRequest request) {
  if (request == ActivationRequest::kW4A16)
    return ActivationChoice{Activation::k16Bit, "16-bit activations on request"};
  if (request == ActivationRequest::kCheckpoint || layer.weight != kernels::WeightFormat::kNvfp4) {
    return ActivationChoice{layer.activation, ""};
  }
  if (layer.operation == Operation::kEmbedding) return ActivationChoice{layer.activation, ""};
  if (layer.block_size != 16) {
    return Error{
        ErrorCode::kUnsupported, layer.kind,
        fmt::format("has blocks of {}, which do not go with NVFP4 activations; run it as w4a16", layer.block_size)};
  }
  if (layer.activation != Activation::k16Bit) return ActivationChoice{layer.activation, "NVFP4 activations on request"};
  if (layer.has_input_scale) return ActivationChoice{Activation::kNvfp4Static, "NVFP4 activations on request"};
  return ActivationChoice{Activation::kNvfp4Dynamic, "NVFP4 activations on request, scale per token"};
}

}  // namespace nvfp4::plan
