// tokenizer_bench FOLDER ROUNDS: encodes documents from standard input, each as 4 bytes little-endian length and the
// bytes, on one thread. Prints the time to load, then one line per round: seconds and tokens. bench/tokenizer_speed.py
// runs it beside Hugging Face's `tokenizers`.
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool read_documents(std::vector<std::string>& documents) {
  std::array<unsigned char, 4> length{};
  while (std::cin.read(reinterpret_cast<char*>(length.data()), length.size())) {
    std::string& text = documents.emplace_back();
    text.resize(length[0] | length[1] << 8 | length[2] << 16 | static_cast<std::uint32_t>(length[3]) << 24);
    if (!std::cin.read(text.data(), static_cast<std::streamsize>(text.size()))) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::vector<std::string> documents;
  if (!read_documents(documents)) return 2;
  const auto load_start = std::chrono::steady_clock::now();
  const auto tokenizer = nvfp4::Tokenizer::load(argv[1]);
  if (!tokenizer) {
    std::cerr << tokenizer.error().to_string() << '\n';
    return 1;
  }
  std::cout << fmt::format("{:.6f}\n", seconds_since(load_start));
  const int num_rounds = std::atoi(argv[2]);
  for (int round = 0; round < num_rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    std::size_t num_tokens = 0;
    for (const std::string& document : documents) {
      const auto ids = tokenizer->encode(document, false);
      if (!ids) {
        std::cerr << ids.error().to_string() << '\n';
        return 1;
      }
      num_tokens += ids->size();
    }
    std::cout << fmt::format("{:.6f} {}\n", seconds_since(start), num_tokens);
  }
  return 0;
}
