#include "nvfp4/tensor.h"

#include <array>

namespace nvfp4 {
namespace {

struct DTypeFacts {
  std::string_view name;         // in a safetensors header
  std::string_view scheme_name;  // of a plain tensor in reports
  std::uint32_t bits;
};

// Indexed by DType.
constexpr std::array<DTypeFacts, 22> kFacts{{
    {"BOOL", "bool", 8},
    {"F4", "fp4", 4},
    {"F6_E2M3", "fp6_e2m3", 6},
    {"F6_E3M2", "fp6_e3m2", 6},
    {"U8", "u8", 8},
    {"I8", "i8", 8},
    {"F8_E5M2", "fp8_e5m2", 8},
    {"F8_E4M3", "fp8_e4m3", 8},
    {"F8_E8M0", "e8m0", 8},
    {"F8_E4M3FNUZ", "fp8_e4m3fnuz", 8},
    {"F8_E5M2FNUZ", "fp8_e5m2fnuz", 8},
    {"I16", "i16", 16},
    {"U16", "u16", 16},
    {"F16", "fp16", 16},
    {"BF16", "bf16", 16},
    {"I32", "i32", 32},
    {"U32", "u32", 32},
    {"F32", "fp32", 32},
    {"C64", "complex64", 64},
    {"F64", "fp64", 64},
    {"I64", "i64", 64},
    {"U64", "u64", 64},
}};

const DTypeFacts& facts(DType dtype) { return kFacts[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::string_view dtype_name(DType dtype) { return facts(dtype).name; }
std::uint32_t bits_per_element(DType dtype) { return facts(dtype).bits; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    if (kFacts[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string_view scheme_name(const DescribedTensor& tensor) {
  switch (tensor.scheme) {
    case Scheme::kNvfp4W4A4:
      return "nvfp4_w4a4";
    case Scheme::kNvfp4W4A16:
      return "nvfp4_w4a16";
    case Scheme::kFp8:
      return "fp8";
    case Scheme::kPlain:
      return facts(tensor.dtype).scheme_name;
  }
  return "";
}

std::string_view activation_name(Activation activation) {
  switch (activation) {
    case Activation::k16Bit:
      return "16bit";
    case Activation::kNvfp4Static:
      return "nvfp4_static";
    case Activation::kNvfp4Dynamic:
      return "nvfp4_dynamic";
    case Activation::kFp8Static:
      return "fp8_static";
    case Activation::kFp8Dynamic:
      return "fp8_dynamic";
  }
  return "";
}

}  // namespace nvfp4
