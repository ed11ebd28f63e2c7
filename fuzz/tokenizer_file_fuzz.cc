// tokenizer.json: reading it, and encoding a little text with what was accepted.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = nvfp4::Tokenizer::parse(json, "tokenizer.json");
  if (!tokenizer) return 0;
  const auto ids = tokenizer->encode("It's 12 e\xcc\x81<s>  x\r\n\xe4\xb8\xad");
  if (ids) (void)tokenizer->decode(*ids);
  return 0;
}
