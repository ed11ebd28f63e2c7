#include "text/code_points.h"

#include <simdjson.h>

#include <algorithm>
#include <memory>

#include "text/unicode_data.h"

namespace nvfp4::text {
namespace {

std::unique_ptr<const ClassTable> make_class_table() {
  auto table = std::make_unique<ClassTable>();
  const auto runs = class_runs();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::size_t end = i + 1 < runs.size() ? runs[i + 1].first : kNumCodePoints;
    std::fill(table->begin() + runs[i].first, table->begin() + static_cast<std::ptrdiff_t>(end), runs[i].value);
  }
  return table;
}

// How many bytes a sequence with this lead byte has, and the range of its second byte; 0 for no lead byte.
struct Lead {
  std::size_t num_bytes;
  unsigned char low;
  unsigned char high;
};

Lead lead_of(unsigned char c) {
  if (c >= 0xc2 && c <= 0xdf) return {2, 0x80, 0xbf};
  if (c == 0xe0) return {3, 0xa0, 0xbf};
  if (c == 0xed) return {3, 0x80, 0x9f};
  if (c >= 0xe1 && c <= 0xef) return {3, 0x80, 0xbf};
  if (c == 0xf0) return {4, 0x90, 0xbf};
  if (c >= 0xf1 && c <= 0xf3) return {4, 0x80, 0xbf};
  if (c == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

}  // namespace

const ClassTable& class_table() {
  static const std::unique_ptr<const ClassTable> kTable = make_class_table();
  return *kTable;
}

void append_utf8(std::uint32_t c, std::string& out) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6);
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3f));
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

Utf8Step utf8_step(std::string_view bytes, std::size_t at) {
  const auto byte = [bytes](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  if (byte(at) < 0x80) return {Utf8Step::kCharacter, 1};
  const Lead lead = lead_of(byte(at));
  if (lead.num_bytes == 0) return {Utf8Step::kIllFormed, 1};
  for (std::size_t i = 1; i < lead.num_bytes; ++i) {
    if (at + i == bytes.size()) return {Utf8Step::kCutOff, i};
    const bool good = i == 1 ? byte(at + 1) >= lead.low && byte(at + 1) <= lead.high : is_continuation(bytes[at + i]);
    if (!good) return {Utf8Step::kIllFormed, i};
  }
  return {Utf8Step::kCharacter, lead.num_bytes};
}

std::size_t find_invalid_utf8(std::string_view bytes) {
  if (simdjson::validate_utf8(bytes.data(), bytes.size())) return std::string_view::npos;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    if (step.kind != Utf8Step::kCharacter) return at;
    at += step.num_bytes;
  }
  return std::string_view::npos;
}

}  // namespace nvfp4::text
