// Brings a prepared weight into the layout that its kernel reads.
#pragma once

#include "base/worker_pool.h"
#include "nvfp4/result.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

// The weight is row-major before; its row-major memory is given back. An Error when there is not enough memory.
[[nodiscard]] Status relayout(PreparedWeight& weight, kernels::WeightLayout layout, WorkerPool& pool);

}  // namespace nvfp4::prepare
