// From the counts of all tensors to findings.
#pragma once

#include <span>

#include "checkpoint/health.h"
#include "checkpoint/health_scan.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::checkpoint {

// counts: [checkpoint.stored_tensors()].
[[nodiscard]] HealthReport judge_health(const Checkpoint& checkpoint, std::span<const ScanCounts> counts);

}  // namespace nvfp4::checkpoint
