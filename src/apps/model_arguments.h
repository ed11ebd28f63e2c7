// What all commands that run a model share: which model, how it is loaded, what is said about it at start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_features.h"
#include "base/worker_pool.h"
#include "engine/generation_config.h"
#include "layers/kv_cache.h"
#include "models/load_model.h"
#include "models/model.h"
#include "nvfp4/result.h"
#include "text/tokenizer.h"

namespace CLI {
class App;
}

namespace nvfp4::apps {

struct ModelArguments {
  std::string directory;
  bool dummy_weights = false;
  std::string config_file;
  std::uint64_t dummy_seed = 0;
  std::string activations = "checkpoint";
  std::string precision = "bf16";
  std::string kv_cache = "auto";
  std::string instruction_set = "auto";
  std::size_t num_threads = 0;  // 0: one a core
  std::vector<std::string> kernels;
  std::string table;
  bool no_selftest = false;
  bool quiet = false;
};

void add_model_arguments(CLI::App& parser, ModelArguments& arguments);

// --instruction-set, whose value is "auto" or a set's name; and the set, or an Error when it does not run here.
void add_instruction_set_option(CLI::App& parser, std::string& name);
[[nodiscard]] Result<InstructionSet> choose_instruction_set(const std::string& name);
[[nodiscard]] std::vector<std::string_view> sets_that_run_here();

// A model ready to run, with what its folder says about text. Movable; the members outlive engines made of them.
struct RunnableModel {
  std::string label;  // the directory, or the file of the configuration
  std::unique_ptr<WorkerPool> pool;
  std::unique_ptr<models::LanguageModel> model;
  std::optional<Tokenizer> tokenizer;
  std::optional<Error> no_tokenizer;  // why there is none
  engine::GenerationConfig generation;
  layers::KvType kv_type = layers::KvType::kBF16;
  InstructionSet instruction_set = InstructionSet::kPortable;
  std::optional<std::size_t> num_selftests;  // nothing: not asked for
  double selftest_ms = 0;
};

// Loads with a progress bar on stderr, where kernels that failed their self-test are named, too.
[[nodiscard]] Result<RunnableModel> load_runnable_model(const ModelArguments& arguments);

// Of a checkpoint's directory.
[[nodiscard]] Result<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

// The tokenizer, or the reason why there is none.
[[nodiscard]] Result<const Tokenizer*> require_tokenizer(const RunnableModel& model);

}  // namespace nvfp4::apps
