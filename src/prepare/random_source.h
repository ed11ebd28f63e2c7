// Random weights for a configuration, so that a model of real size runs without files. The scheme of each module is
// what the configuration's quantization_config declares (of an embedding: what a table of modules declares by name);
// without one every linear layer but lm_head and the routers is NVFP4 W4A4. Weights have variance 1 / in_features, an
// embedding 1, so that activations keep their size; the text is noise.
#pragma once

#include <memory>
#include <string_view>

#include "base/worker_pool.h"
#include "prepare/weight_source.h"

namespace nvfp4::prepare {

// config_json: the text of config.json, label its name in errors. The same seed gives the same weights.
[[nodiscard]] Result<std::unique_ptr<WeightSource>> make_random_source(std::string_view config_json, std::string label,
                                                                       std::uint64_t seed, ActivationRequest request,
                                                                       WorkerPool& pool);

}  // namespace nvfp4::prepare
