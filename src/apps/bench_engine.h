// nvfp4 bench engine: the whole model under requests.
#pragma once

#include <CLI/CLI.hpp>

#include "apps/command.h"

namespace nvfp4::apps {

Command add_bench_engine_command(CLI::App& bench);

}  // namespace nvfp4::apps
