#include "checkpoint/foreign_file.h"

#include <algorithm>

#include "base/file.h"

namespace nvfp4::checkpoint {
namespace {

bool begins_with_ignoring_case(std::string_view text, std::string_view lower_case) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return text.size() >= lower_case.size() &&
         std::equal(lower_case.begin(), lower_case.end(), text.begin(), [&](char l, char c) { return l == lower(c); });
}

}  // namespace

std::optional<std::string> foreign_file_advice(std::string_view start) {
  if (start.starts_with("version https://git-lfs"))
    return "this is a Git LFS pointer, not the file itself; run git lfs pull";
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  const std::string_view text = first == std::string_view::npos ? std::string_view{} : start.substr(first);
  if (begins_with_ignoring_case(text, "<!doctype") || begins_with_ignoring_case(text, "<html") ||
      text.starts_with("<?xml")) {
    return "this is an HTML page, not the file itself (a failed download?); download it again";
  }
  if (start.starts_with("GGUF")) return "this is a GGUF file; give the folder of the safetensors model";
  if (start.starts_with("PK\x03\x04"))
    return "this is a zip archive (a PyTorch .bin or .pt?); convert it to safetensors";
  const auto printable = [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t'; };
  if (start.size() >= 8 && std::all_of(start.begin(), start.begin() + 8, printable)) {
    return "this is a text file that begins with " + quote_name(start.substr(0, 32)) +
           ", not a safetensors file; download it again";
  }
  return std::nullopt;
}

}  // namespace nvfp4::checkpoint
