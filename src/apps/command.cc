#include "apps/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/nearest_name.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::apps {

Error no_such_weight(const Checkpoint& checkpoint, const std::filesystem::path& directory, const std::string& name) {
  std::string_view nearest;
  std::size_t distance = name.size() / 2 + 1;  // further away than this is another name
  for (const DescribedTensor& weight : checkpoint.weights()) {
    const bool has_suffix = weight.name.ends_with(".weight");
    const std::string_view module = weight.name.substr(0, weight.name.size() - (has_suffix ? 7 : 0));
    if (const std::size_t d = std::min(edit_distance(name, weight.name), edit_distance(name, module)); d < distance) {
      nearest = weight.name;
      distance = d;
    }
  }
  const std::string hint =
      nearest.empty() ? "nvfp4 inspect lists the weights" : fmt::format("did you mean \"{}\"?", nearest);
  return {ErrorCode::kNotFound, directory.string(), fmt::format("no weight is called \"{}\"; {}", name, hint)};
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

int report(const Error& error) {
  fmt::print(stderr, "error: {}\n", printable(error.to_string()));
  return kBadInput;
}

int report_lost_output(int error_number) {
  if (error_number != EPIPE) {
    fmt::print(stderr, "error: standard output: cannot be written: {}; what was printed is incomplete\n",
               std::strerror(error_number));
  }
  return kFindings;
}

std::string human_bytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

Result<std::filesystem::path> model_directory(const std::string& directory_or_id) {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  std::filesystem::path hub_cache = environment("HF_HUB_CACHE");
  if (hub_cache.empty()) {
    std::filesystem::path home = environment("HF_HOME");
    if (home.empty()) {
      const std::filesystem::path cache = environment("XDG_CACHE_HOME");
      home = (cache.empty() ? environment("HOME") / ".cache" : cache) / "huggingface";
    }
    hub_cache = home / "hub";
  }
  auto found = resolve_model_directory(directory_or_id, hub_cache);
  if (found && !found->has_filename()) return found->parent_path();  // "model/" is "model" in what is said about it
  return found;
}

}  // namespace nvfp4::apps
