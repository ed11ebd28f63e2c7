#include "checkpoint/quantization_map.h"

#include <fnmatch.h>

#include <array>

namespace nvfp4::checkpoint {

std::string_view canonical_module_name(std::string_view name) {
  static constexpr std::array<std::string_view, 3> kWrappers{"model.", "language_model.", "backbone."};
  for (bool stripped = true; stripped;) {
    stripped = false;
    for (std::string_view wrapper : kWrappers) {
      if (name.starts_with(wrapper)) {
        name.remove_prefix(wrapper.size());
        stripped = true;
      }
    }
  }
  return name;
}

void ModuleMatcher::add_name(std::string_view name, std::uint32_t value, bool covers_children) {
  const std::string_view canonical = canonical_module_name(name);
  names_.emplace(std::string(canonical), value);
  name_lengths_.set(canonical.size() % name_lengths_.size());
  names_cover_children_ |= covers_children;
}

void ModuleMatcher::add_glob(std::string_view glob, std::uint32_t value) {
  globs_.emplace_back(std::string(canonical_module_name(glob)), value);
}

void ModuleMatcher::add_class(ModuleClass module_class, std::uint32_t value) {
  classes_.emplace_back(module_class, value);
}

std::optional<std::string> ModuleMatcher::add_regex(std::string_view pattern, std::uint32_t value) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(8 << 20);
  auto regex = std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!regex->ok()) return regex->error();
  regexes_.emplace_back(std::move(regex), value);
  return std::nullopt;
}

std::optional<std::string> ModuleMatcher::add_target(std::string_view target, std::uint32_t value) {
  if (target.starts_with("re:")) return add_regex(target.substr(3), value);
  if (target == "Linear") {
    add_class(ModuleClass::kLinear, value);
  } else if (target == "Embedding") {
    add_class(ModuleClass::kEmbedding, value);
  } else {
    add_name(target, value, false);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> ModuleMatcher::match(std::string_view module, ModuleClass module_class) const {
  const std::string_view canonical = canonical_module_name(module);
  if (!names_.empty()) {
    for (std::string_view name = canonical; !name.empty();) {
      if (name_lengths_.test(name.size() % name_lengths_.size())) {
        if (auto it = names_.find(name); it != names_.end()) return it->second;
      }
      const std::size_t dot = name.rfind('.');
      if (!names_cover_children_ || dot == std::string_view::npos) break;
      name = name.substr(0, dot);
    }
  }
  if (!globs_.empty()) {
    const std::string text(canonical);
    for (const auto& [glob, value] : globs_) {
      const bool only_prefix = glob.find_first_of("*?[") == glob.size() - 1 && glob.back() == '*';
      if (only_prefix ? std::string_view(text).starts_with(std::string_view(glob).substr(0, glob.size() - 1))
                      : ::fnmatch(glob.c_str(), text.c_str(), 0) == 0) {
        return value;
      }
    }
  }
  if (!regexes_.empty()) {
    // Names in a pattern may be those of the bare model or of the wrapped one.
    const std::array<std::string, 3> spellings{std::string(module), "model." + std::string(canonical),
                                               std::string(canonical)};
    for (const auto& [regex, value] : regexes_) {
      for (const std::string& text : spellings) {
        if (regex->Match(text, 0, text.size(), re2::RE2::ANCHOR_START, nullptr, 0)) return value;
      }
    }
  }
  for (const auto& [wanted, value] : classes_) {
    if (wanted == module_class) return value;
  }
  return std::nullopt;
}

const DeclaredScheme* QuantizationMap::resolve(std::string_view module, ModuleClass module_class) const {
  if (targets_before_ignore) {
    const auto value = targets.match(module, module_class);
    return value ? &schemes[*value] : nullptr;
  }
  if (!ignore.empty() && ignore.match(module, ModuleClass::kOther)) return nullptr;
  const auto value = targets.match(module, module_class);
  return value ? &schemes[*value] : nullptr;
}

}  // namespace nvfp4::checkpoint
