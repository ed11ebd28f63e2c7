#include "models/load_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/config_document.h"
#include "checkpoint/model_config.h"
#include "models/architectures.h"
#include "plan/inventory.h"
#include "prepare/checkpoint_source.h"
#include "prepare/random_source.h"

namespace nvfp4::models {
namespace {

struct Architecture {
  std::string_view name;        // config.json: architectures[0]
  std::string_view model_type;  // config.json: model_type
  LoadArchitecture load;
};

constexpr std::array kArchitectures = {
    Architecture{"Qwen3MoeForCausalLM", "qwen3_moe", load_qwen3_moe},
    Architecture{"Qwen3ForCausalLM", "qwen3", load_qwen3},
    Architecture{"LlamaForCausalLM", "llama", load_llama},
    Architecture{"MistralForCausalLM", "mistral", load_mistral},
};

Result<const Architecture*> find_architecture(const ConfigReader& reader) {
  std::string name;
  if (auto list = checkpoint::find_field(reader.document().root(), reader.document().label(), "architectures")) {
    auto array = checkpoint::as_array(*list);
    NVFP4_RETURN_IF_ERROR(array);
    if (array->size() > 0) {
      auto first = checkpoint::as_string({array->at(0), list->where});
      NVFP4_RETURN_IF_ERROR(first);
      name = *first;
    }
  }
  auto model_type = reader.string_or("model_type", "");
  NVFP4_RETURN_IF_ERROR(model_type);
  std::vector<std::string_view> known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name || (name.empty() && architecture.model_type == *model_type)) return &architecture;
    known.push_back(architecture.name);
  }
  return reader.error(
      "architectures", ErrorCode::kUnsupported,
      fmt::format("\"{}\" cannot be run; {} can", name.empty() ? *model_type : name, fmt::join(known, ", ")));
}

Result<PlannedKernels> plan_kernels(const plan::Inventory& inventory, const LoadOptions& options, WorkerPool& pool) {
  plan::Deployment deployment;
  deployment.activations = options.activations;
  deployment.forced = options.forced;
  deployment.max_tokens = options.max_tokens;
  deployment.table = options.table;
  const plan::Machine machine = machine_of(options, pool);
  if (!options.selftest) {
    auto plan = plan::make_plan(inventory.layers, machine, deployment);
    NVFP4_RETURN_IF_ERROR(plan);
    return PlannedKernels(std::move(plan).value());
  }
  auto tested = layers::make_tested_plan(inventory.layers, machine, std::move(deployment), pool);
  NVFP4_RETURN_IF_ERROR(tested);
  if (options.on_selftest) options.on_selftest(*tested);
  return PlannedKernels(std::move(tested->plan));
}

}  // namespace

plan::Machine machine_of(const LoadOptions& options, const WorkerPool& pool) {
  return plan::cpu_of(options.processor_name, options.instruction_set, static_cast<std::uint32_t>(pool.num_workers()));
}

Result<std::unique_ptr<LanguageModel>> load_model(const Checkpoint& checkpoint, const std::string& label,
                                                  const LoadOptions& options, WorkerPool& pool) {
  if (checkpoint.config_json().empty()) {
    return Error{ErrorCode::kNotFound, label + "/config.json", "is missing; it says what model the weights are of"};
  }
  auto document = checkpoint::ConfigDocument::parse(checkpoint.config_json(), label + "/config.json");
  NVFP4_RETURN_IF_ERROR(document);
  const ConfigReader reader(*document);
  auto architecture = find_architecture(reader);
  NVFP4_RETURN_IF_ERROR(architecture);
  const auto inventory = plan::layers_of(checkpoint, label);
  NVFP4_RETURN_IF_ERROR(inventory);
  auto kernels = plan_kernels(*inventory, options, pool);
  NVFP4_RETURN_IF_ERROR(kernels);
  prepare::CheckpointSource source(checkpoint, label, options.activations, options.on_progress, &pool);
  return (*architecture)->load(reader, {source, pool, *kernels, options.precision});
}

Result<std::unique_ptr<LanguageModel>> make_random_model(const std::string& config_json, const std::string& label,
                                                         std::uint64_t seed, const LoadOptions& options,
                                                         WorkerPool& pool) {
  auto document = checkpoint::ConfigDocument::parse(config_json, label);
  NVFP4_RETURN_IF_ERROR(document);
  const std::optional<checkpoint::ConfigDocument> config(std::move(document).value());
  // What opening a checkpoint would refuse: no model has such sizes.
  auto sizes = checkpoint::read_model_config(config);
  NVFP4_RETURN_IF_ERROR(sizes);
  const ConfigReader reader(*config);
  auto architecture = find_architecture(reader);
  NVFP4_RETURN_IF_ERROR(architecture);
  auto source = prepare::make_random_source(config_json, label, seed, options.activations, pool);
  NVFP4_RETURN_IF_ERROR(source);
  const auto inventory = plan::layers_of_config(config_json, label);
  NVFP4_RETURN_IF_ERROR(inventory);
  auto kernels = plan_kernels(*inventory, options, pool);
  NVFP4_RETURN_IF_ERROR(kernels);
  return (*architecture)->load(reader, {**source, pool, *kernels, options.precision});
}

}  // namespace nvfp4::models
