#include "checkpoint/activation_request.h"

#include <fmt/format.h>

namespace nvfp4::checkpoint {

Result<ActivationChoice> choose_activation(const QuantizedInput& input, ActivationRequest request,
                                           const std::string& where) {
  constexpr std::uint32_t kBlockSize = 16;  // of activations
  if (request == ActivationRequest::kW4A16)
    return ActivationChoice{Activation::k16Bit, "16-bit activations on request"};
  if (request == ActivationRequest::kCheckpoint || !input.is_nvfp4) return ActivationChoice{input.activation, ""};
  if (input.block_size != kBlockSize) {
    return Error{
        ErrorCode::kUnsupported, where,
        fmt::format("has blocks of {}, which do not go with NVFP4 activations; run it as w4a16", input.block_size)};
  }
  Activation activation = input.activation;
  if (activation == Activation::k16Bit) {
    activation = input.has_input_scale ? Activation::kNvfp4Static : Activation::kNvfp4Dynamic;
  }
  return ActivationChoice{activation, activation == Activation::kNvfp4Static
                                          ? "NVFP4 activations on request"
                                          : "NVFP4 activations on request, scale per token"};
}

}  // namespace nvfp4::checkpoint
