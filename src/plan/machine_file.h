// A file that describes a machine, so that plans can be made for one that nobody here has: the keys that
// `nvfp4 devices --json` prints, in an object.
#pragma once

#include <string>
#include <string_view>

#include "nvfp4/result.h"
#include "plan/machine.h"

namespace nvfp4::plan {

// GPU: "name", "sm", "num_sms", "num_threads_per_sm", "num_registers_per_sm", "shared_bytes_per_sm",
// "shared_bytes_per_block", "reserved_shared_bytes", "l2_bytes", "memory_bytes", "memory_gb_per_s", "bf16_tflops",
// "fp8_tflops", "fp4_tflops". CPU: "name", "instruction_set", "num_workers", "memory_gb_per_s", "f32_gflops". What a
// GPU's file does not say is that of the known card with its "sm"; a key that is not known is an Error.
[[nodiscard]] Result<Machine> parse_machine(std::string_view json, const std::string& label);

// What parse_machine() reads.
[[nodiscard]] std::string machine_json(const Machine& machine);

}  // namespace nvfp4::plan
