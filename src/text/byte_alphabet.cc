#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/code_points.h"

namespace nvfp4::text {
namespace {

constexpr std::uint32_t kNumShifted = 68;  // bytes that are spelled by U+0100 and up
constexpr std::uint32_t kFirstShifted = 0x100;

constexpr bool stands_for_itself(std::uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

constexpr std::array<unsigned char, kNumShifted> kShifted = [] {
  std::array<unsigned char, kNumShifted> out{};
  std::size_t count = 0;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    if (!stands_for_itself(byte)) out[count++] = static_cast<unsigned char>(byte);
  }
  return out;
}();

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_at(text.data() + at);
    at += c.num_bytes;
    if (c.value < 0x100 && stands_for_itself(c.value)) {
      out += static_cast<char>(c.value);
    } else if (c.value >= kFirstShifted && c.value < kFirstShifted + kNumShifted) {
      out += static_cast<char>(kShifted[c.value - kFirstShifted]);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

std::string spelling_of_byte(unsigned char byte) {
  std::string out;
  std::uint32_t code_point = byte;
  if (!stands_for_itself(byte)) {
    code_point = kFirstShifted;
    while (kShifted[code_point - kFirstShifted] != byte) ++code_point;
  }
  append_utf8(code_point, out);
  return out;
}

}  // namespace nvfp4::text
