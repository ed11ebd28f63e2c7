// From a checkpoint directory, or a configuration alone, to a model that runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/worker_pool.h"
#include "layers/context.h"
#include "layers/tested_plan.h"
#include "models/model.h"
#include "nvfp4/checkpoint.h"
#include "plan/planner.h"
#include "prepare/weight_source.h"

namespace nvfp4::models {

struct LoadOptions {
  layers::Precision precision = layers::Precision::kBF16;
  prepare::ActivationRequest activations = prepare::ActivationRequest::kCheckpoint;
  InstructionSet instruction_set = best_instruction_set();
  std::string processor_name = "this processor";
  std::vector<plan::ForcedKernel> forced;
  std::shared_ptr<const plan::MeasuredTable> table;  // of machine_of() these options; null: none
  bool selftest = true;                              // of the kernels that are planned: layers/tested_plan.h
  std::uint32_t max_tokens = 512;                    // of a step, for the plan; more are possible
  std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)> on_progress;
  std::function<void(const layers::TestedPlan& tested)> on_selftest;  // before weights are read
};

// The processor that a model is planned for.
[[nodiscard]] plan::Machine machine_of(const LoadOptions& options, const WorkerPool& pool);

// Plans, then prepares weight by weight for the kernels of the plan; the checkpoint may go afterwards. `label` (the
// directory) begins error messages.
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> load_model(const Checkpoint& checkpoint, const std::string& label,
                                                                const LoadOptions& options, WorkerPool& pool);

// Random weights for the configuration in `config_json`; `label` is the name of its file.
[[nodiscard]] Result<std::unique_ptr<LanguageModel>> make_random_model(const std::string& config_json,
                                                                       const std::string& label, std::uint64_t seed,
                                                                       const LoadOptions& options, WorkerPool& pool);

}  // namespace nvfp4::models
