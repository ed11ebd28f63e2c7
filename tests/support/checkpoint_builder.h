// Writes small checkpoints for tests: safetensors files from a list of tensors.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nvfp4::support {

// Header length, header text and data of a safetensors file, to be written together or bent first.
struct SafetensorsText {
  std::string header;  // without the braces
  std::string data;

  // Appends a tensor behind the ones before it.
  void add(std::string_view name, std::string_view dtype, const std::vector<std::uint64_t>& shape,
           std::string_view bytes) {
    if (!header.empty()) header += ",";
    header += fmt::format("\"{}\":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", name, dtype,
                          fmt::join(shape, ","), data.size(), data.size() + bytes.size());
    data += bytes;
  }
  template <class T>
  void add_values(std::string_view name, std::string_view dtype, const std::vector<std::uint64_t>& shape,
                  const std::vector<T>& values) {
    add(name, dtype, shape, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }

  [[nodiscard]] static std::string with_header(std::string_view header_text, std::string_view data_bytes) {
    const std::uint64_t length = header_text.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
    return file.append(header_text).append(data_bytes);
  }
  [[nodiscard]] std::string file() const { return with_header("{" + header + "}", data); }
};

// One NVFP4 weight of [rows, k] in ModelOpt's spelling: codes 1..15, block scales 1.0.
inline void add_modelopt_nvfp4(SafetensorsText& out, const std::string& module, std::uint64_t rows, std::uint64_t k,
                               float scale2, float input_scale) {
  std::vector<std::uint8_t> codes(rows * k / 2);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(0x21 + i * 37);
  out.add_values(module + ".weight", "U8", {rows, k / 2}, codes);
  out.add_values(module + ".weight_scale", "F8_E4M3", {rows, k / 16}, std::vector<std::uint8_t>(rows * (k / 16), 0x38));
  out.add_values(module + ".weight_scale_2", "F32", {}, std::vector<float>{scale2});
  if (input_scale != 0) out.add_values(module + ".input_scale", "F32", {}, std::vector<float>{input_scale});
}

}  // namespace nvfp4::support
