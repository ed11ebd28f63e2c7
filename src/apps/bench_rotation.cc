#include "apps/bench_rotation.h"

#include <algorithm>
#include <cmath>

namespace nvfp4::apps {

Rotation choose_rotation(const RotationNeeds& needs) {
  constexpr double kMaxRotatedCopies = 2048;  // of tiny layers
  constexpr double kMinCalls = 16;
  constexpr double kMaxCalls = 256;
  constexpr double kGraphBytes = 2e9;
  constexpr double kCaches = 4;
  Rotation rotation;
  if (!needs.hot) {
    const double wanted = std::floor(kCaches * static_cast<double>(needs.cache_bytes) / needs.touched_bytes) + 2;
    const double affordable = std::floor(needs.affordable_bytes / needs.copy_bytes);
    rotation.num_copies = static_cast<std::size_t>(std::clamp(std::min(wanted, affordable), 1.0, kMaxRotatedCopies));
  }
  const double wanted = std::clamp(std::ceil(kGraphBytes / needs.touched_bytes), kMinCalls, kMaxCalls);
  const auto num_calls = static_cast<std::size_t>(wanted);
  rotation.num_calls = (num_calls + rotation.num_copies - 1) / rotation.num_copies * rotation.num_copies;
  return rotation;
}

}  // namespace nvfp4::apps
