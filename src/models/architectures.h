// The architectures, one file each. A loader reads its typed configuration and wires the parts.
#pragma once

#include <memory>

#include "base/worker_pool.h"
#include "layers/context.h"
#include "models/model.h"
#include "models/model_config.h"
#include "models/planned_kernels.h"
#include "prepare/weight_source.h"

namespace nvfp4::models {

// Where weights come from, and for what they are prepared.
struct LoadContext {
  prepare::WeightSource& source;
  WorkerPool& pool;
  PlannedKernels& kernels;
  layers::Precision precision;
};

using LoadArchitecture = Result<std::unique_ptr<LanguageModel>> (*)(const ConfigReader& reader,
                                                                    const LoadContext& context);

[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_qwen3_moe(const ConfigReader& reader,
                                                                    const LoadContext& context);
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_qwen3(const ConfigReader& reader, const LoadContext& context);
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_llama(const ConfigReader& reader, const LoadContext& context);
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_mistral(const ConfigReader& reader,
                                                                  const LoadContext& context);

}  // namespace nvfp4::models
