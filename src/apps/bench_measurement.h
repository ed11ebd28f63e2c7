// How fast a problem's layer is, and how near to what the machine can do.
#pragma once

#include <cstdint>
#include <string>

#include "apps/bench_ceilings.h"
#include "apps/bench_problem.h"
#include "base/cpu_features.h"
#include "base/worker_pool.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

struct BenchSettings {
  InstructionSet instruction_set = InstructionSet::kPortable;
  bool hot = false;    // one copy of the layer again and again; otherwise from memory
  double seconds = 1;  // of repetitions
};

struct BenchResult {
  BenchProblem problem;
  std::string kernel;
  std::size_t num_copies = 0;
  std::size_t num_repetitions = 0;
  double median_s = 0;
  double min_s = 0;
  double bytes_read = 0;  // of weights in a repetition, mean
  double ceiling_bytes_per_s = 0;
  double ceiling_operations_per_s = 0;

  [[nodiscard]] double bytes_per_s() const { return bytes_read / median_s; }
  [[nodiscard]] double operations_per_s() const { return problem.operations() / median_s; }
  // The time that reading or multiplying alone would take, the longer one, as a share of the median.
  [[nodiscard]] double share_of_ceiling() const;
};

// Weights that must lie between two uses of one copy, so that it comes from memory.
[[nodiscard]] std::uint64_t cold_bytes();

// An Error when the problem needs more memory than is free.
[[nodiscard]] Status check_memory(const BenchProblem& problem);

// An Error when there is not the memory, when no kernel serves the problem, or when the result is not finite.
[[nodiscard]] Result<BenchResult> measure(const BenchProblem& problem, const BenchSettings& settings,
                                          Ceilings& ceilings, WorkerPool& pool);

}  // namespace nvfp4::apps
