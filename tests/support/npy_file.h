// Reads .npy files of version 1.0 in C order: what numpy.save writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace nvfp4::support {

template <class T>
struct NpyArray {
  std::vector<std::size_t> shape;
  std::vector<T> values;
};

// T is float ("<f4") or std::int32_t ("<i4"). Aborts with a message when the file is something else.
template <class T>
NpyArray<T> read_npy(const std::filesystem::path& path) {
  const auto refuse = [&](const char* what) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), what);
    std::abort();
  };
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0) refuse("is no .npy file");
  const std::size_t header_bytes = static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, header_bytes);
  const char* const type = sizeof(T) == 4 && std::is_same_v<T, float> ? "'<f4'" : "'<i4'";
  if (header.find(type) == std::string::npos || header.find("'fortran_order': False") == std::string::npos) {
    refuse("has another element type or order");
  }
  NpyArray<T> array;
  std::size_t count = 1;
  for (std::size_t at = header.find('(') + 1; at < header.find(')');) {
    const std::size_t size = std::strtoull(header.c_str() + at, nullptr, 10);
    array.shape.push_back(size);
    count *= size;
    at = header.find(',', at) + 1;
    while (header[at] == ' ') ++at;
  }
  if (bytes.size() != 10 + header_bytes + count * sizeof(T)) refuse("is cut off");
  array.values.resize(count);
  std::memcpy(array.values.data(), bytes.data() + 10 + header_bytes, count * sizeof(T));
  return array;
}

}  // namespace nvfp4::support
