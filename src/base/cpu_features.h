// What this processor and its operating system let a program use.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nvfp4 {

// Each set includes those before it. A kernel names the set that it needs.
enum class InstructionSet : std::uint8_t {
  kPortable,    // plain C++
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL
  kAvx512Vnni,  // and VNNI: dot products of bytes
  kAvx512Vbmi,  // and VBMI: look-ups of bytes in tables of 64
  kAvx512Bf16,  // and BF16: dot products of BF16, at the rate of those of bytes
};
inline constexpr std::array kInstructionSets = {InstructionSet::kPortable,   InstructionSet::kAvx2,
                                                InstructionSet::kAvx512,     InstructionSet::kAvx512Vnni,
                                                InstructionSet::kAvx512Vbmi, InstructionSet::kAvx512Bf16};

[[nodiscard]] std::string_view instruction_set_name(InstructionSet set);  // "avx512-vnni"
[[nodiscard]] std::optional<InstructionSet> parse_instruction_set(std::string_view name);

// Can code for the set run here?
[[nodiscard]] bool runs_here(InstructionSet set);
// The set that is fastest here. Intel processors have BF16 dot products, but at half the rate of FP32 arithmetic: there
// kAvx512Vbmi is the answer although kAvx512Bf16 runs.
[[nodiscard]] InstructionSet best_instruction_set();

}  // namespace nvfp4
