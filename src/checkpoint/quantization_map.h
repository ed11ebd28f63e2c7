// What the configuration files declare about each module. A declaration is only a claim: the tensors have the last
// word, and describe.h reports where the two disagree.
#pragma once

#include <re2/re2.h>

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "nvfp4/tensor.h"

namespace nvfp4::checkpoint {

enum class DeclaredWeights : std::uint8_t { kNvfp4, kFp8PerTensor, kFp8PerRow, kUnsupported };

struct DeclaredScheme {
  DeclaredWeights weights = DeclaredWeights::kUnsupported;
  Activation activation = Activation::k16Bit;
  std::uint32_t block_size = 0;  // 0: the configuration does not say
  std::string evidence;          // "hf_quant_config.json: quantization.quant_algo = NVFP4"
};

// The class that a target such as "Linear" is compared with; configurations name PyTorch classes.
enum class ModuleClass : std::uint8_t { kLinear, kEmbedding, kOther };

// Module name without the wrappers that engines and exporters add or drop: "model.", "language_model.", "backbone.".
[[nodiscard]] std::string_view canonical_module_name(std::string_view name);

// One target or ignore entry list. Name entries beat patterns, patterns beat classes; the first of equals wins.
class ModuleMatcher {
 public:
  void add_name(std::string_view name, std::uint32_t value, bool covers_children);
  void add_glob(std::string_view glob, std::uint32_t value);  // fnmatch: '*' crosses dots
  void add_class(ModuleClass module_class, std::uint32_t value);
  // Python's re.match: anchored at the start only. An Error text when RE2 does not know the construct.
  [[nodiscard]] std::optional<std::string> add_regex(std::string_view pattern, std::uint32_t value);
  // "re:..." or a name or a class name, as compressed-tensors spells targets.
  [[nodiscard]] std::optional<std::string> add_target(std::string_view target, std::uint32_t value);

  [[nodiscard]] std::optional<std::uint32_t> match(std::string_view module, ModuleClass module_class) const;
  [[nodiscard]] bool empty() const { return names_.empty() && globs_.empty() && regexes_.empty() && classes_.empty(); }

 private:
  struct NameHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::unordered_map<std::string, std::uint32_t, NameHash, std::equal_to<>> names_;  // canonical names
  bool names_cover_children_ = false;
  std::bitset<256> name_lengths_;  // of names_, modulo its size: most names are told apart by it
  std::vector<std::pair<std::string, std::uint32_t>> globs_;
  std::vector<std::pair<std::unique_ptr<re2::RE2>, std::uint32_t>> regexes_;
  std::vector<std::pair<ModuleClass, std::uint32_t>> classes_;
};

struct QuantizationMap {
  bool declared = false;  // some file says that the checkpoint is quantised
  std::string producer = "unquantized";
  std::string kv_cache_scheme;  // lower case; empty: not quantised
  std::vector<DeclaredScheme> schemes;
  ModuleMatcher targets;  // -> index into schemes
  ModuleMatcher ignore;
  bool targets_before_ignore = false;  // an explicit per-layer table outranks a list of patterns
  std::vector<Finding> conflicts;
  // Set when two files disagree about the activations; an error as soon as a weight depends on it.
  std::optional<Error> undecided_activation;

  // The scheme declared for a module; null: declared unquantised, or not mentioned.
  [[nodiscard]] const DeclaredScheme* resolve(std::string_view module, ModuleClass module_class) const;
};

}  // namespace nvfp4::checkpoint
