#include "base/cpu_features.h"

#include <algorithm>

namespace nvfp4 {

std::string_view instruction_set_name(InstructionSet set) {
  switch (set) {
    case InstructionSet::kPortable:
      return "portable";
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kAvx512:
      return "avx512";
    case InstructionSet::kAvx512Vnni:
      return "avx512-vnni";
    case InstructionSet::kAvx512Vbmi:
      return "avx512-vbmi";
    case InstructionSet::kAvx512Bf16:
      return "avx512-bf16";
  }
  return "";
}

std::optional<InstructionSet> parse_instruction_set(std::string_view name) {
  const auto* const found = std::find_if(kInstructionSets.begin(), kInstructionSets.end(),
                                         [&](InstructionSet set) { return instruction_set_name(set) == name; });
  if (found == kInstructionSets.end()) return std::nullopt;
  return *found;
}

#if defined(__x86_64__)

// The builtins ask the operating system too: a register that it does not save does not count.
bool runs_here(InstructionSet set) {
  switch (set) {
    case InstructionSet::kPortable:
      return true;
    case InstructionSet::kAvx2:
      return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
             __builtin_cpu_supports("f16c") != 0;
    case InstructionSet::kAvx512:
      return runs_here(InstructionSet::kAvx2) && __builtin_cpu_supports("avx512f") != 0 &&
             __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
             __builtin_cpu_supports("avx512vl") != 0;
    case InstructionSet::kAvx512Vnni:
      return runs_here(InstructionSet::kAvx512) && __builtin_cpu_supports("avx512vnni") != 0;
    case InstructionSet::kAvx512Vbmi:
      return runs_here(InstructionSet::kAvx512Vnni) && __builtin_cpu_supports("avx512vbmi") != 0;
    case InstructionSet::kAvx512Bf16:
      return runs_here(InstructionSet::kAvx512Vbmi) && __builtin_cpu_supports("avx512bf16") != 0;
  }
  return false;
}

InstructionSet best_instruction_set() {
  if (runs_here(InstructionSet::kAvx512Bf16) && __builtin_cpu_is("amd") != 0) return InstructionSet::kAvx512Bf16;
  for (const InstructionSet set :
       {InstructionSet::kAvx512Vbmi, InstructionSet::kAvx512Vnni, InstructionSet::kAvx512, InstructionSet::kAvx2}) {
    if (runs_here(set)) return set;
  }
  return InstructionSet::kPortable;
}

#else

bool runs_here(InstructionSet set) { return set == InstructionSet::kPortable; }
InstructionSet best_instruction_set() { return InstructionSet::kPortable; }

#endif

}  // namespace nvfp4
