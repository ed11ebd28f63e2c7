#include "apps/model_arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/here.h"
#include "apps/input.h"
#include "apps/machine.h"
#include "apps/progress.h"
#include "base/cpu_features.h"
#include "base/cpu_topology.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::apps {

std::vector<std::string_view> sets_that_run_here() {
  std::vector<std::string_view> names;
  for (const InstructionSet set : kInstructionSets) {
    if (runs_here(set)) names.push_back(instruction_set_name(set));
  }
  return names;
}

namespace {

// `arguments` and `out` outlive the options.
Result<models::LoadOptions> load_options(const ModelArguments& arguments, RunnableModel& out) {
  models::LoadOptions options;
  options.precision = arguments.precision == "f32" ? layers::Precision::kF32 : layers::Precision::kBF16;
  if (arguments.activations == "w4a16") options.activations = prepare::ActivationRequest::kW4A16;
  if (arguments.activations == "w4a4") options.activations = prepare::ActivationRequest::kW4A4;
  options.instruction_set = out.instruction_set;
  options.processor_name = processor_name();
  for (const std::string& text : arguments.kernels) {
    auto forced = plan::parse_forced_kernel(text);
    NVFP4_RETURN_IF_ERROR(forced);
    options.forced.push_back(std::move(forced).value());
  }
  auto table = table_argument(arguments.table, models::machine_of(options, *out.pool));
  NVFP4_RETURN_IF_ERROR(table);
  options.table = std::move(table).value();
  options.selftest = !arguments.no_selftest;
  options.on_selftest = [&arguments, &out](const layers::TestedPlan& tested) {
    out.num_selftests = tested.tests.size();
    out.selftest_ms = tested.ms;
    if (arguments.quiet) return;
    for (const std::string& line : layers::refusal_lines(tested.plan)) fmt::print(stderr, "{}\n", line);
  };
  return options;
}

layers::KvType kv_type(const ModelArguments& arguments, const std::string& checkpoint_scheme) {
  if (arguments.kv_cache == "f32") return layers::KvType::kF32;
  if (arguments.kv_cache == "bf16") return layers::KvType::kBF16;
  if (arguments.kv_cache == "fp8" || checkpoint_scheme == "fp8") return layers::KvType::kFp8;
  return arguments.precision == "f32" ? layers::KvType::kF32 : layers::KvType::kBF16;
}

Status load_text_files(const std::filesystem::path& directory, RunnableModel& out) {
  auto root = checkpoint::ModelRoot::open(directory);
  NVFP4_RETURN_IF_ERROR(root);
  auto generation = engine::GenerationConfig::read(*root);
  NVFP4_RETURN_IF_ERROR(generation);
  out.generation = std::move(generation).value();
  auto tokenizer = load_tokenizer(directory);
  if (tokenizer) {
    out.tokenizer = std::move(tokenizer).value();
  } else {
    out.no_tokenizer = tokenizer.error();
  }
  return {};
}

Status load_checkpoint(const ModelArguments& arguments, RunnableModel& out) {
  auto directory = model_directory(arguments.directory);
  NVFP4_RETURN_IF_ERROR(directory);
  OpenOptions open_options;
  open_options.load_mode = LoadMode::kRead;
  auto checkpoint = Checkpoint::open(*directory, open_options);
  NVFP4_RETURN_IF_ERROR(checkpoint);
  out.label = directory->string();
  out.kv_type = kv_type(arguments, checkpoint->kv_cache_scheme());
  NVFP4_RETURN_IF_ERROR(load_text_files(*directory, out));
  auto options = load_options(arguments, out);
  NVFP4_RETURN_IF_ERROR(options);
  Progress progress(arguments.quiet);
  options->on_progress = [&progress](std::uint64_t done, std::uint64_t total) { progress.show(done, total); };
  auto model = models::load_model(*checkpoint, out.label, *options, *out.pool);
  NVFP4_RETURN_IF_ERROR(model);
  out.model = std::move(model).value();
  return {};
}

Status make_dummy(const ModelArguments& arguments, RunnableModel& out) {
  auto config = read_text(arguments.config_file);
  NVFP4_RETURN_IF_ERROR(config);
  out.label = arguments.config_file;
  out.kv_type = kv_type(arguments, "");
  auto options = load_options(arguments, out);
  NVFP4_RETURN_IF_ERROR(options);
  const bool show = !arguments.quiet && isatty(STDERR_FILENO) != 0;
  if (show) fmt::print(stderr, "making random weights for {} ...", printable(out.label));
  auto model = models::make_random_model(*config, out.label, arguments.dummy_seed, *options, *out.pool);
  if (show) fmt::print(stderr, "\r\x1b[K");
  NVFP4_RETURN_IF_ERROR(model);
  out.model = std::move(model).value();
  out.no_tokenizer = Error{ErrorCode::kNotFound, out.label, "random weights have no tokenizer; give token ids instead"};
  return {};
}

}  // namespace

void add_instruction_set_option(CLI::App& parser, std::string& name) {
  std::vector<std::string> sets = {"auto"};
  for (const InstructionSet set : kInstructionSets) sets.emplace_back(instruction_set_name(set));
  parser
      .add_option("--instruction-set", name,
                  fmt::format("that kernels may use: auto (the fastest here), {}",
                              fmt::join(sets.begin() + 1, sets.end(), ", ")))
      ->check(CLI::IsMember(sets));
}

Result<InstructionSet> choose_instruction_set(const std::string& name) {
  const auto set = parse_instruction_set(name);
  if (!set) return best_instruction_set();  // "auto"
  if (runs_here(*set)) return *set;
  return Error{ErrorCode::kInvalidArgument, "--instruction-set",
               fmt::format("{} does not run on this processor; {} can be chosen here", name,
                           fmt::join(sets_that_run_here(), ", "))};
}

void add_model_arguments(CLI::App& parser, ModelArguments& arguments) {
  parser.add_option("DIR", arguments.directory, "checkpoint directory, or a Hugging Face id in the local cache");
  parser.add_flag("--dummy-weights", arguments.dummy_weights, "random weights for the configuration of --config");
  parser.add_option("--config", arguments.config_file, "a config.json, for --dummy-weights");
  parser.add_option("--dummy-seed", arguments.dummy_seed, "of the random weights (0)")
      ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()));
  parser
      .add_option("--activations", arguments.activations,
                  "checkpoint: as the file asks; w4a16: 16-bit everywhere; w4a4: FP4 in every NVFP4 layer")
      ->check(CLI::IsMember({"checkpoint", "w4a16", "w4a4"}));
  parser.add_option("--precision", arguments.precision, "of values between layers: bf16 or f32")
      ->check(CLI::IsMember({"bf16", "f32"}));
  parser.add_option("--kv-cache-dtype", arguments.kv_cache, "auto (the checkpoint's), bf16, fp8 or f32")
      ->check(CLI::IsMember({"auto", "bf16", "fp8", "f32"}));
  add_instruction_set_option(parser, arguments.instruction_set);
  parser.add_option("--kernel", arguments.kernels, "LAYERKIND[:SCHEME]=NAME: this kernel and no other")
      ->allow_extra_args(false);
  parser.add_option("--table", arguments.table, "choose kernels by what nvfp4 tune measured: a file that it wrote");
  parser.add_flag("--no-selftest", arguments.no_selftest,
                  "do not compare kernels with a known answer before they serve");
  parser.add_option("--threads", arguments.num_threads, "worker threads (one a core)")->check(whole_number(0, 1024));
  parser.add_flag("-q,--quiet", arguments.quiet, "nothing on stderr but errors");
}

Result<RunnableModel> load_runnable_model(const ModelArguments& arguments) {
  if (arguments.dummy_weights != arguments.directory.empty() ||
      arguments.dummy_weights == arguments.config_file.empty()) {
    return Error{ErrorCode::kInvalidArgument, "nvfp4",
                 "give a checkpoint directory, or --dummy-weights with --config FILE; see --help"};
  }
  RunnableModel out;
  auto instruction_set = choose_instruction_set(arguments.instruction_set);
  NVFP4_RETURN_IF_ERROR(instruction_set);
  out.instruction_set = *instruction_set;
  out.pool = std::make_unique<WorkerPool>(arguments.num_threads == 0 ? default_num_workers() : arguments.num_threads);
  NVFP4_RETURN_IF_ERROR(arguments.dummy_weights ? make_dummy(arguments, out) : load_checkpoint(arguments, out));
  if (out.tokenizer && out.tokenizer->vocab_size() > out.model->shape().vocab_size) {
    return Error{ErrorCode::kContradiction, out.label + "/tokenizer.json",
                 fmt::format("has token ids up to {}, but the model's vocabulary is {}; they are not of one model",
                             out.tokenizer->vocab_size() - 1, out.model->shape().vocab_size)};
  }
  return out;
}

Result<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  auto tokenizer = Tokenizer::load(directory);
  if (tokenizer || tokenizer.error().code != ErrorCode::kNotFound) return tokenizer;
  return Error{ErrorCode::kNotFound, (directory / "tokenizer.json").string(),
               "is missing, and text needs it; copy it from the model's original folder"};
}

Result<const Tokenizer*> require_tokenizer(const RunnableModel& model) {
  if (model.tokenizer) return &*model.tokenizer;
  return *model.no_tokenizer;
}

}  // namespace nvfp4::apps
