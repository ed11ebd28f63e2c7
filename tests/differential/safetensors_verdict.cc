// Reads candidate files from standard input, each as 4 bytes little-endian length and the bytes, and answers one line
// for each: `ok` and its tensors, or `error` and the text. compare_safetensors.py holds the answers against the Rust
// package's.
#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"

namespace {

std::string hex(std::string_view text) {
  std::string out;
  for (const char c : text) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

// name in hexadecimal:dtype:dim,dim:begin:end
std::string line_of(const nvfp4::StoredTensor& tensor) {
  return fmt::format("{}:{}:{}:{}:{}", hex(tensor.name), nvfp4::dtype_name(tensor.dtype), fmt::join(tensor.shape, ","),
                     tensor.begin, tensor.end);
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  nvfp4::checkpoint::SafetensorsParser parser(nvfp4::NameHasher::random());
  std::array<unsigned char, 4> length{};
  std::vector<char> candidate;
  while (std::cin.read(reinterpret_cast<char*>(length.data()), length.size())) {
    candidate.resize(length[0] | length[1] << 8 | length[2] << 16 | static_cast<std::uint32_t>(length[3]) << 24);
    if (!std::cin.read(candidate.data(), static_cast<std::streamsize>(candidate.size()))) return 2;
    const auto header = parser.parse("candidate", std::as_bytes(std::span(candidate)));
    if (header) {
      std::cout << "ok";
      for (const nvfp4::StoredTensor& tensor : header->tensors) std::cout << ' ' << line_of(tensor);
      std::cout << '\n';
    } else {
      std::cout << "error " << header.error().to_string() << '\n';
    }
  }
  return 0;
}
