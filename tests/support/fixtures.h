// Where the checkpoints of tests/fixtures are.
#pragma once

#include <filesystem>

namespace nvfp4::support {

inline const std::filesystem::path kFixtures = NVFP4_FIXTURES;
inline const std::filesystem::path kParity = kFixtures / "parity";  // tiny ones, each with its logits

}  // namespace nvfp4::support
