// Reads the input as a safetensors file. What is accepted must hold what the format promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/safetensors.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static nvfp4::checkpoint::SafetensorsParser parser(nvfp4::NameHasher(1, 2));
  const auto header = parser.parse("input", std::as_bytes(std::span(data, size)));
  if (!header) {
    require(!header.error().message.empty() && header.error().to_string().find('\n') == std::string::npos);
    return 0;
  }
  std::uint64_t end = 8 + header->text.view().size();
  for (const nvfp4::StoredTensor& tensor : header->tensors) {
    require(tensor.begin == end && tensor.end >= tensor.begin);
    require(tensor.num_elements() * nvfp4::bits_per_element(tensor.dtype) == tensor.num_bytes() * 8);
    end = tensor.end;
  }
  require(end == size);
  return 0;
}
