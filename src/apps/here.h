// The machines of this computer, as plans know them, and what this program was built for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nvfp4/result.h"
#include "plan/machine.h"
#include "plan/measured_table.h"

namespace nvfp4::apps {

[[nodiscard]] plan::Cpu cpu_here();
// The GPUs, or why there are none.
[[nodiscard]] Result<std::vector<plan::Gpu>> gpus_here();

// "cpu", "cuda" (what is here), a known machine, or a file that describes one (a path with a slash or .json).
[[nodiscard]] Result<plan::Machine> machine_argument(const std::string& name);

// What --table names: a file that nvfp4 tune wrote, of this machine and this build. Null: none.
[[nodiscard]] Result<std::shared_ptr<const plan::MeasuredTable>> table_argument(const std::string& file,
                                                                                const plan::Machine& machine);

struct BuiltFor {
  std::vector<std::string> instruction_sets;
  std::vector<std::string> gpu_architectures;  // "sm_90a"; empty without CUDA
};
[[nodiscard]] BuiltFor built_for();

// Version, compiler, GPUs: what figures of this program are good for.
[[nodiscard]] std::string build_name();

}  // namespace nvfp4::apps
