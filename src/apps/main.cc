// The `nvfp4` command.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "apps/command.h"
#include "base/nearest_name.h"
#include "nvfp4/version.h"

namespace nvfp4::apps {
namespace {

int unknown_command(const std::string& name, const std::vector<Command>& commands) {
  const Command* nearest = nullptr;
  std::size_t distance = 3;  // further away than this is no typing error
  for (const Command& command : commands) {
    if (const std::size_t d = edit_distance(name, command.parser->get_name()); d < distance) {
      nearest = &command;
      distance = d;
    }
  }
  const std::string hint =
      nearest != nullptr ? fmt::format("did you mean \"{}\"?", nearest->parser->get_name()) : "see nvfp4 --help";
  fmt::print(stderr, "error: nvfp4: \"{}\" is not a command; {}\n", printable(name), hint);
  return kBadInput;
}

bool is_command(const std::vector<Command>& commands, std::string_view name) {
  return std::any_of(commands.begin(), commands.end(), [&](const Command& c) { return c.parser->get_name() == name; });
}

// "nvfp4", or "nvfp4 bench engine" when the arguments got that far.
std::string full_name(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app.get_name() : app.get_name() + " " + full_name(*chosen.front());
}

// What is printed sits in a buffer, so that a full disk may show only now.
int flush_output(int code) {
  errno = 0;
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  return failed && code == kDone ? report_lost_output(errno == 0 ? EIO : errno) : code;
}

int run(int argc, char** argv) {
  CLI::App app{"nvfp4: runs NVFP4 checkpoints exactly", "nvfp4"};
  app.set_version_flag("--version", std::string("nvfp4 ") + version());
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  const std::vector<Command> commands{add_inspect_command(app), add_dequantize_command(app), add_check_command(app),
                                      add_run_command(app),     add_logits_command(app),     add_tokenize_command(app),
                                      add_eval_command(app),    add_bench_command(app),      add_plan_command(app),
                                      add_devices_command(app), add_selftest_command(app),   add_tune_command(app)};
  if (argc > 1 && argv[1][0] != '-' && !is_command(commands, argv[1])) return unknown_command(argv[1], commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const std::string name = full_name(app);
    fmt::print(stderr, "error: {}: {}; see {} --help\n", name, printable(error.what()), name);
    return kBadInput;
  }
  for (const Command& command : commands) {
    if (command.parser->parsed()) return command.run();
  }
  fmt::print("{}", app.help());
  return kBadInput;
}

}  // namespace
}  // namespace nvfp4::apps

int main(int argc, char** argv) {
  try {
    return nvfp4::apps::flush_output(nvfp4::apps::run(argc, argv));
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n");
  } catch (const std::system_error& error) {  // from fmt::print
    return nvfp4::apps::report_lost_output(error.code().value());
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
  }
  return nvfp4::apps::kFindings;
}
