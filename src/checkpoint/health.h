// Reads every byte of a checkpoint once and says what is numerically sick. The report does not depend on the number of
// threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

// Worst first.
enum class HealthRule : std::uint8_t {
  kBlockScaleNan,      // an E4M3 block scale is NaN: so are its 16 (32) weights
  kNan,                // an element of any floating-point tensor is NaN
  kInfinity,           // ... is infinite
  kRowScale,           // an FP8 row scale is NaN, infinite or negative
  kBlockScaleSign,     // a block scale is negative: kernels may read it unsigned
  kAllZero,            // a matrix has no number but zero
  kZeroScales,         // more than HealthLimits::kMaxZeroScales of the blocks have scale zero
  kZeroCodes,          // more than HealthLimits::kMaxZeroCodes of the blocks have only zero codes
  kSaturatedScales,    // more than HealthLimits::kMaxSaturatedScales of the block scales are 448
  kSubnormalScales,    // more than HealthLimits::kMaxSubnormalScales of the block scales are subnormal
  kScale2Ratio,        // scale2 of gate and up, or q, k and v, differ; information up to HealthLimits::kMaxScale2Ratio
  kInputScaleRange,    // an input scale is outside of [kMinInputScale, kMaxInputScale]
  kInputScaleOutlier,  // an input scale is over kMaxInputScaleRatio times its median, or as much below it
  kConflict,           // Checkpoint::conflicts()
  kRepair,             // Checkpoint::repairs()
};
[[nodiscard]] std::string_view rule_name(HealthRule rule);  // "block_scale_nan", ...: stable

// Where a count becomes a finding. The counts themselves are in the report whatever they are.
struct HealthLimits {
  // A block rounds to scale zero when its weights are 2^18 below the largest of the matrix: none of a sound one are.
  static constexpr double kMaxZeroScales = 0.01;
  // Pruned or padded rows are zeros by intent; more zeros than weights are not.
  static constexpr double kMaxZeroCodes = 0.5;
  // Only the few blocks within 4 % of the largest weight get 448, unless scale2 is too small and clips.
  static constexpr double kMaxSaturatedScales = 0.1;
  // Below 2^-6 a scale loses its mantissa. It takes blocks 2^14 below the largest one, or a folded scale2.
  static constexpr double kMaxSubnormalScales = 0.1;
  // So many blocks must be concerned: one block of a tiny matrix always is the largest.
  static constexpr std::uint64_t kMinBlocks = 64;
  // Engines that give fused matrices one scale2 lose a whole binary step of precision from here on.
  static constexpr double kMaxScale2Ratio = 2;
  // amax / 2688 (or / 448) of activations between 2^-19 and 2^21.
  static constexpr float kMinInputScale = 0x1p-30F;
  static constexpr float kMaxInputScale = 0x1p10F;
  static constexpr float kMaxInputScaleRatio = 1000;
};

struct HealthFinding {
  HealthRule rule = HealthRule::kRepair;
  std::string name;     // tensor, module or config field
  std::string message;  // what it is, how often, where first

  bool operator==(const HealthFinding&) const = default;
};

struct HealthTotals {
  std::uint64_t num_weights = 0;
  std::uint64_t num_bytes = 0;   // of their data and scales per block or row
  std::uint64_t num_blocks = 0;  // NVFP4 blocks
  std::uint64_t num_zero_scale_blocks = 0;
  std::uint64_t num_zero_code_blocks = 0;
  std::uint64_t num_subnormal_scales = 0;
  std::uint64_t num_saturated_scales = 0;
  std::uint64_t num_nan = 0;  // elements and block scales
  std::uint64_t num_infinite = 0;

  void add(const HealthTotals& other);
  bool operator==(const HealthTotals&) const = default;
};

// All weights of one name, up to the numbers of layers and experts, and of one scheme.
struct WeightKind {
  std::string name;  // "model.layers.*.mlp.experts.*.up_proj.weight"
  std::string_view scheme;
  HealthTotals totals;

  bool operator==(const WeightKind&) const = default;
};

struct HealthReport {
  std::uint64_t num_files = 0;
  std::uint64_t num_bytes = 0;    // of the files, headers too
  std::uint64_t num_tensors = 0;  // stored, with scales
  HealthTotals totals;
  std::vector<WeightKind> kinds;        // in the order of the files
  std::vector<HealthFinding> findings;  // worst first
  std::vector<HealthFinding> notes;     // worth knowing, but sound

  bool operator==(const HealthReport&) const = default;
};

struct HealthOptions {
  std::uint32_t num_threads = 1;
  // Called now and then, by the calling thread only: bytes read so far, bytes to read.
  std::function<void(std::uint64_t, std::uint64_t)> progress = {};
};

// An Error when something cannot be read.
[[nodiscard]] Result<HealthReport> check_health(const Checkpoint& checkpoint, const HealthOptions& options = {});

}  // namespace nvfp4::checkpoint
