#include "kernels/contract/linear.h"

namespace nvfp4::kernels {

std::string_view weight_format_name(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return "f32";
    case WeightFormat::kF16:
      return "f16";
    case WeightFormat::kBF16:
      return "bf16";
    case WeightFormat::kFp8:
      return "fp8";
    case WeightFormat::kNvfp4:
      return "nvfp4";
  }
  return "";
}

std::size_t bits_per_weight(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return 32;
    case WeightFormat::kF16:
    case WeightFormat::kBF16:
      return 16;
    case WeightFormat::kFp8:
      return 8;
    case WeightFormat::kNvfp4:
      return 4;
  }
  return 0;
}

}  // namespace nvfp4::kernels
