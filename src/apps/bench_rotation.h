// How many copies of a layer's weights take turns on a device, and how many calls make a CUDA graph.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvfp4::apps {

struct Rotation {
  std::size_t num_copies = 1;
  std::size_t num_calls = 1;  // a multiple of num_copies; call i uses copy i % num_copies
};

struct RotationNeeds {
  double touched_bytes = 0;       // of weights, by a call
  double copy_bytes = 0;          // of all weights
  double affordable_bytes = 0;    // for all copies; not less than one
  std::uint64_t cache_bytes = 0;  // the device's largest cache
  bool hot = false;               // one copy, again and again
};

// Between two uses of a copy more than four times the cache is read, where memory allows it. A graph reads about 2 GB
// and has 16 calls at least, so that its beginning and end do not count.
[[nodiscard]] Rotation choose_rotation(const RotationNeeds& needs);

}  // namespace nvfp4::apps
