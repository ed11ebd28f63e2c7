// nvfp4 inspect DIR [--tensor NAME] [--json] [--all]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/inspect_report.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::apps {
namespace {

struct InspectOptions {
  std::string directory;
  std::string tensor;
  bool json = false;
  bool all = false;
  bool read = false;
};

void print(const Json& json) { fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace)); }

int run(const InspectOptions& options) {
  auto directory = model_directory(options.directory);
  if (!directory) return report(directory.error());
  auto checkpoint = Checkpoint::open(*directory, {.load_mode = options.read ? LoadMode::kRead : LoadMode::kMap});
  if (!checkpoint) return report(checkpoint.error());
  if (options.tensor.empty()) {
    if (options.json) {
      print(inspect_json(*checkpoint, *directory));
    } else {
      fmt::print("{}", inspect_text(*checkpoint, *directory, options.all));
    }
    return kDone;
  }
  const DescribedTensor* weight = checkpoint->find(options.tensor);
  if (weight == nullptr) return report(no_such_weight(*checkpoint, *directory, options.tensor));
  if (options.json) {
    print(weight_json(*checkpoint, *weight));
    return kDone;
  }
  auto text = weight_text(*checkpoint, *weight);
  if (!text) return report(text.error());
  fmt::print("{}", *text);
  return kDone;
}

}  // namespace

Command add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* parser =
      app.add_subcommand("inspect", "What a checkpoint holds: schemes, weights, scales, conflicts, repairs");
  parser->add_option("DIR", options->directory, "checkpoint directory, or a Hugging Face id in the local cache")
      ->required();
  parser->add_option("--tensor", options->tensor, "show one weight");
  parser->add_flag("--json", options->json, "for programs (keys: docs/json.md)");
  parser->add_flag("--all", options->all, "list every conflict, repair and ignored tensor");
  parser->add_flag("--no-mmap", options->read, "read the files, never map them");
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
