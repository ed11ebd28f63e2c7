// Brings a prepared weight into the layout that its kernel reads.
#pragma once

#include "base/worker_pool.h"
#include "nvfp4/result.h"
#include "prepare/prepared_weight.h"

namespace nvfp4::prepare {

// Row-major before. The elements stay where they are; memory for the tiles is taken only if the weight came without
// room for them (PreparedWeight::allocate), and an Error says that there is none. That of the block scales is given
// back.
[[nodiscard]] Status relayout(PreparedWeight& weight, kernels::WeightLayout layout, WorkerPool& pool);

}  // namespace nvfp4::prepare
