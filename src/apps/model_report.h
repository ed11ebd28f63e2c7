// What is said of a model that runs: which kernels serve it, on what processor, and whether they were tested.
#pragma once

#include <cstdio>
#include <nlohmann/json_fwd.hpp>

#include "apps/model_arguments.h"

namespace nvfp4::apps {

// A line about the processor, then the plan's table.
void print_kernels(const RunnableModel& model, std::FILE* out);

// Puts "plan", "kernels", "selftest" and "cpu" into what a command prints.
void add_kernels(const RunnableModel& model, nlohmann::json& out);

}  // namespace nvfp4::apps
