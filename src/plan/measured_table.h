// What kernels were measured to take on one machine, by one build: what `nvfp4 tune` writes and plans choose by.
//
//   {"table": 1, "build": "0.1.0 GNU 12.2.0", "machine": {as machine_json() has it},
//    "kernels": {"linear_nvfp4_f32_avx2": 1},
//    "problems": [{"problem": "linear/w4a16/n4096/k2048",
//                  "tokens": [{"num_tokens": 1, "us": {"linear_nvfp4_f32_avx2": 186.2}}]}]}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nvfp4/result.h"
#include "plan/layer.h"
#include "plan/machine.h"

namespace nvfp4::plan {

struct Measurement {
  std::string kernel;
  double us = 0;
};

struct MeasuredTokens {
  std::uint32_t num_tokens = 0;
  std::vector<Measurement> kernels;
};

struct MeasuredProblem {
  std::string problem;                 // as measured_problem() names it
  std::vector<MeasuredTokens> tokens;  // ascending, at least one
};

struct KernelVersion {
  std::string kernel;
  std::uint32_t version = 1;
};

struct MeasuredTable {
  std::string label;  // the file's name
  std::string build;
  Machine machine;
  std::vector<KernelVersion> kernels;  // of all measurements
  std::vector<MeasuredProblem> problems;

  [[nodiscard]] const MeasuredProblem* find(std::string_view problem) const;
};

// Under which name a layer of one rank is measured; on a processor, a projection of experts. Gate and up are one.
// `whole`: of all ranks, which decides how many rows a rank's experts get.
[[nodiscard]] std::string measured_problem(const Layer& shard, const Layer& whole, std::string_view projection);

[[nodiscard]] Result<MeasuredTable> parse_measured_table(std::string_view json, const std::string& label);
// What parse_measured_table() reads.
[[nodiscard]] std::string measured_table_json(const MeasuredTable& table);

// An Error when the table is of another machine, another build, or other versions of kernels than those of this build.
[[nodiscard]] Status check_measured_table(const MeasuredTable& table, const Machine& machine, std::string_view build);

// The version of a kernel of this build, for processors or GPUs; 0: there is none of that name.
[[nodiscard]] std::uint32_t kernel_version(std::string_view kernel);

}  // namespace nvfp4::plan
