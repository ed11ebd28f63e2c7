// Reads the input as a model.safetensors.index.json. Shard names that are accepted must stay under the model folder.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "checkpoint/safetensors_index.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nvfp4::checkpoint::JsonText;
  const auto index = nvfp4::checkpoint::parse_shard_index(
      "input", JsonText(std::string_view(reinterpret_cast<const char*>(data), size)));
  if (!index) {
    require(!index.error().message.empty() && index.error().to_string().find('\n') == std::string::npos);
    return 0;
  }
  require(!index->entries.empty());
  for (const auto& entry : index->entries) require(entry.shard_idx < index->shards.size());
  for (const std::string& shard : index->shards) {
    const std::filesystem::path path(shard);
    require(!path.empty() && path.is_relative() && shard.find('\0') == std::string::npos);
    for (const auto& part : path) require(part != ".." && part != "." && !part.empty());
  }
  return 0;
}
