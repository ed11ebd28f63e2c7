// The number of a token in its tokenizer's vocabulary.
#pragma once

#include <cstdint>

namespace nvfp4 {

using TokenId = std::uint32_t;

}  // namespace nvfp4
