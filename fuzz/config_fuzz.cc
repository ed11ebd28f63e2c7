// config.json: parsing, duplicate keys, Python's literals, and the sizes that the reader looks at.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "checkpoint/config_document.h"
#include "checkpoint/model_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto document = nvfp4::checkpoint::ConfigDocument::parse(text, "config.json");
  if (!document) return 0;
  const std::optional<nvfp4::checkpoint::ConfigDocument> config(std::move(document).value());
  (void)nvfp4::checkpoint::read_model_config(config);
  return 0;
}
