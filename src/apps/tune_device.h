// A layer of a plan as a problem of `nvfp4 bench`, to be measured on a GPU.
#pragma once

#include "apps/bench_problem.h"
#include "nvfp4/result.h"
#include "plan/layer.h"

namespace nvfp4::apps {

// `shard`: what one rank has, with the activation that runs; `whole_experts`: of all ranks. Biases, factors of columns
// and ranges of scales are left out: they cost next to nothing. An Error for what no kernel for GPUs serves.
[[nodiscard]] Result<BenchProblem> bench_problem_of(const plan::Layer& shard, std::uint32_t whole_experts,
                                                    std::uint32_t num_tokens);

}  // namespace nvfp4::apps
