// What `nvfp4 inspect` says about a checkpoint, as text for people and as JSON for programs (keys: docs/json.md).
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

using Json = nlohmann::ordered_json;

[[nodiscard]] Json inspect_json(const Checkpoint& checkpoint, const std::filesystem::path& directory);
// `all` prints every conflict, repair and ignored tensor instead of the first few of each kind.
[[nodiscard]] std::string inspect_text(const Checkpoint& checkpoint, const std::filesystem::path& directory, bool all);

[[nodiscard]] Json weight_json(const Checkpoint& checkpoint, const DescribedTensor& weight);
// One weight in full: scales, evidence, where the bytes are, the first values.
[[nodiscard]] Result<std::string> weight_text(const Checkpoint& checkpoint, const DescribedTensor& weight);

// Bytes of a weight in the files, scales included.
[[nodiscard]] std::uint64_t stored_bytes(const DescribedTensor& weight);
// "model.layers.3.mlp.experts.17.up_proj.weight" -> "model.layers.*.mlp.experts.*.up_proj.weight".
[[nodiscard]] std::string fold_numbers(std::string_view name);

}  // namespace nvfp4::apps
