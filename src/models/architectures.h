// The architectures, one file each. A loader reads its typed configuration and wires the parts.
#pragma once

#include <memory>

#include "layers/context.h"
#include "models/model.h"
#include "models/model_config.h"
#include "prepare/weight_source.h"

namespace nvfp4::models {

using LoadArchitecture = Result<std::unique_ptr<LanguageModel>> (*)(const ConfigReader& reader,
                                                                    prepare::WeightSource& source,
                                                                    layers::Precision precision);

[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_qwen3_moe(const ConfigReader& reader,
                                                                    prepare::WeightSource& source,
                                                                    layers::Precision precision);
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_qwen3(const ConfigReader& reader,
                                                                prepare::WeightSource& source,
                                                                layers::Precision precision);
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_llama(const ConfigReader& reader,
                                                                prepare::WeightSource& source,
                                                                layers::Precision precision);
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_mistral(const ConfigReader& reader,
                                                                  prepare::WeightSource& source,
                                                                  layers::Precision precision);

}  // namespace nvfp4::models
