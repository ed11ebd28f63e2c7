// nvfp4 bench engine: the whole model under requests.
#pragma once

#include "apps/command.h"

namespace CLI {
class App;
}

namespace nvfp4::apps {

Command add_bench_engine_command(CLI::App& bench);

}  // namespace nvfp4::apps
