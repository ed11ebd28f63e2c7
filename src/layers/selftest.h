// Does a kernel compute what it should on this processor? A known answer at a layer's own number of columns: random
// weights and inputs, a sample of rows, one token, a few and many, against float64.
#pragma once

#include <cstdint>

#include "base/worker_pool.h"
#include "kernels/contract/linear.h"
#include "nvfp4/result.h"

namespace nvfp4::layers {

inline constexpr double kSelftestTolerance = 1e-5;  // ||found - expected|| / ||expected||

// The largest relative error over all numbers of tokens, and over a gated pair where the kernel has one; infinite where
// something is not finite. An Error when there is not enough memory. The kernel accepts the problem.
[[nodiscard]] Result<double> selftest(const kernels::LinearKernel& kernel, const kernels::LinearProblem& problem,
                                      WorkerPool& pool);

}  // namespace nvfp4::layers
