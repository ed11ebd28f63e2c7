// "No token", beside the number of a token.
#pragma once

#include <limits>

#include "nvfp4/token.h"

namespace nvfp4::text {

inline constexpr TokenId kNoToken = std::numeric_limits<TokenId>::max();

}  // namespace nvfp4::text
