// tokenizer_answers FOLDER: reads texts from standard input, each as 4 bytes little-endian length and the bytes, and
// answers each with four blocks of the same form: its token ids (4 bytes each), the ids with special tokens around,
// and the decoded text of the latter with and without special tokens. compare_tokenizer.py holds them against
// Hugging Face's `tokenizers`. A text that cannot be encoded ends the program.
#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace {

void write_block(std::string_view bytes, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(bytes.size() >> shift & 0xff);
  out += bytes;
}

void write_ids(const std::vector<nvfp4::TokenId>& ids, std::string& out) {
  const auto bytes = std::as_bytes(std::span(ids));
  write_block({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, out);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::ios::sync_with_stdio(false);
  const auto tokenizer = nvfp4::Tokenizer::load(argv[1]);
  if (!tokenizer) {
    std::cerr << tokenizer.error().to_string() << '\n';
    return 1;
  }
  std::array<unsigned char, 4> length{};
  std::string text;
  std::string answer;
  while (std::cin.read(reinterpret_cast<char*>(length.data()), length.size())) {
    text.resize(length[0] | length[1] << 8 | length[2] << 16 | static_cast<std::uint32_t>(length[3]) << 24);
    if (!std::cin.read(text.data(), static_cast<std::streamsize>(text.size()))) return 2;
    const auto plain = tokenizer->encode(text, false);
    const auto ids = tokenizer->encode(text, true);
    if (!plain || !ids) {
      std::cerr << plain.error().to_string() << '\n';
      return 1;
    }
    answer.clear();
    write_ids(*plain, answer);
    write_ids(*ids, answer);
    write_block(tokenizer->decode(*ids, false), answer);
    write_block(tokenizer->decode(*ids, true), answer);
    std::cout.write(answer.data(), static_cast<std::streamsize>(answer.size()));
  }
  return 0;
}
