#include "apps/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace nvfp4::apps {
namespace {

// What follows the first line "key ...: " of a file of /proc; empty when there is none.
std::string value_of(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    const std::size_t begin = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

}  // namespace

std::string processor_name() {
  for (const char* key : {"model name", "Model", "cpu model"}) {
    if (std::string name = value_of("/proc/cpuinfo", key); !name.empty()) return name;
  }
  return "unknown processor";
}

std::uint64_t last_level_cache_bytes() {
  long largest = 0;
#if defined(_SC_LEVEL4_CACHE_SIZE)
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE}) {
    largest = std::max(largest, sysconf(level));
  }
#endif
  return static_cast<std::uint64_t>(largest);
}

std::uint64_t available_memory_bytes() {
  std::istringstream line(value_of("/proc/meminfo", "MemAvailable"));
  std::uint64_t kilobytes = 0;
  line >> kilobytes;
  return kilobytes * 1024;
}

}  // namespace nvfp4::apps
