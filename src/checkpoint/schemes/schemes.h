// The producers' configuration schemas, one file each. A schema reads its producer's spelling into a QuantizationMap.
#pragma once

#include <optional>

#include "checkpoint/config_document.h"
#include "checkpoint/quantization_map.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

// ModelOpt: hf_quant_config.json and config.json's quantization_config; either may be missing or partial.
[[nodiscard]] Result<QuantizationMap> read_modelopt_config(const std::optional<ConfigDocument>& hf_quant_config,
                                                           const std::optional<JsonField>& quantization_config);

// compressed-tensors: config.json's quantization_config.
[[nodiscard]] Result<QuantizationMap> read_compressed_tensors_config(const JsonField& quantization_config);

// Adds config_groups (shared by both producers) to the map; `map` gets schemes, targets and conflicts.
[[nodiscard]] Status read_config_groups(const JsonField& config_groups, QuantizationMap& map);

// A list of module names, "re:" patterns and class names for the ignore list; globs when `globs` is set (ModelOpt).
[[nodiscard]] Status read_ignore_list(const JsonField& list, bool globs, QuantizationMap& map);

// "fp8", "nvfp4", ... from an object {num_bits, type} or a bare string.
[[nodiscard]] Result<std::string> read_kv_cache_scheme(const JsonField& field);

// Chooses the schema from quant_method and the files that exist.
[[nodiscard]] Result<QuantizationMap> read_quantization_config(const std::optional<ConfigDocument>& hf_quant_config,
                                                               const std::optional<ConfigDocument>& config);

}  // namespace nvfp4::checkpoint
