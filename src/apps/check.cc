// nvfp4 check DIR [--threads N] [--json] [--all] [--quiet]
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "apps/command.h"
#include "apps/progress.h"
#include "base/cpu_topology.h"
#include "checkpoint/health.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::apps {
namespace {

using checkpoint::HealthFinding;
using checkpoint::HealthReport;
using checkpoint::HealthTotals;

constexpr std::size_t kShownFindings = 20;

// Keys that --json promises; more may come.
constexpr const char* kJsonKeys =
    "--json: healthy, directory, producer, num_files, num_bytes, num_tensors,\n"
    "  totals {num_weights, num_bytes, num_blocks, num_zero_scale_blocks, num_zero_code_blocks,\n"
    "          num_subnormal_scales, num_saturated_scales, num_nan, num_infinite},\n"
    "  kinds [{name, scheme, and the totals}], findings [{rule, name, message}], notes [the same]\n"
    "Exit code: 0 no findings, 1 findings, 2 the checkpoint cannot be read";

struct CheckOptions {
  std::string directory;
  std::uint32_t num_threads = 0;  // 0: all cores this process may run on
  bool json = false;
  bool all = false;
  bool quiet = false;
};

void add_totals(const HealthTotals& totals, nlohmann::ordered_json& out) {
  out["num_weights"] = totals.num_weights;
  out["num_bytes"] = totals.num_bytes;
  out["num_blocks"] = totals.num_blocks;
  out["num_zero_scale_blocks"] = totals.num_zero_scale_blocks;
  out["num_zero_code_blocks"] = totals.num_zero_code_blocks;
  out["num_subnormal_scales"] = totals.num_subnormal_scales;
  out["num_saturated_scales"] = totals.num_saturated_scales;
  out["num_nan"] = totals.num_nan;
  out["num_infinite"] = totals.num_infinite;
}

nlohmann::ordered_json findings_json(const std::vector<HealthFinding>& findings) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const HealthFinding& finding : findings)
    out.push_back({{"rule", rule_name(finding.rule)}, {"name", finding.name}, {"message", finding.message}});
  return out;
}

nlohmann::ordered_json report_json(const Checkpoint& checkpoint, const std::filesystem::path& directory,
                                   const HealthReport& health) {
  nlohmann::ordered_json out{{"healthy", health.findings.empty()}, {"directory", directory.string()},
                             {"producer", checkpoint.producer()},  {"num_files", health.num_files},
                             {"num_bytes", health.num_bytes},      {"num_tensors", health.num_tensors}};
  add_totals(health.totals, out["totals"]);
  out["kinds"] = nlohmann::ordered_json::array();
  for (const checkpoint::WeightKind& kind : health.kinds) {
    nlohmann::ordered_json one{{"name", kind.name}, {"scheme", kind.scheme}};
    add_totals(kind.totals, one);
    out["kinds"].push_back(std::move(one));
  }
  out["findings"] = findings_json(health.findings);
  out["notes"] = findings_json(health.notes);
  return out;
}

// "0", "0.02 %": never "0 %" for something that is there.
std::string share(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  if (part == 0) return "0";
  return fmt::format("{:.2g} %", 100 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string kinds_text(const HealthReport& health) {
  std::size_t width = 10;
  for (const checkpoint::WeightKind& kind : health.kinds)
    width = std::max(width, std::min<std::size_t>(kind.name.size(), 72));
  std::string out = fmt::format("\n{:<{}}  {:<12}{:>8}{:>10}{:>11}{:>12}{:>11}{:>9}\n", "layer kind", width, "scheme",
                                "weights", "bytes", "zero codes", "zero scales", "subnormal", "at 448");
  for (const checkpoint::WeightKind& kind : health.kinds) {
    const HealthTotals& totals = kind.totals;
    const auto of_blocks = [&](std::uint64_t count) { return share(count, totals.num_blocks); };
    out += fmt::format("{:<{}}  {:<12}{:>8}{:>10}{:>11}{:>12}{:>11}{:>9}\n", printable(kind.name), width, kind.scheme,
                       totals.num_weights, human_bytes(static_cast<double>(totals.num_bytes)),
                       of_blocks(totals.num_zero_code_blocks), of_blocks(totals.num_zero_scale_blocks),
                       of_blocks(totals.num_subnormal_scales), of_blocks(totals.num_saturated_scales));
  }
  return out;
}

std::string findings_text(const std::vector<HealthFinding>& findings, bool all) {
  if (findings.empty()) return "\nno findings\n";
  std::map<checkpoint::HealthRule, std::size_t> counts;
  for (const HealthFinding& finding : findings) ++counts[finding.rule];
  std::vector<std::string> parts;
  parts.reserve(counts.size());
  for (const auto& [rule, count] : counts) parts.push_back(fmt::format("{} {}", count, rule_name(rule)));
  std::string out = fmt::format("\nfindings: {} ({})\n", findings.size(), fmt::join(parts, ", "));
  const std::size_t shown = all ? findings.size() : std::min(findings.size(), kShownFindings);
  for (const HealthFinding& finding : std::span(findings).first(shown)) {
    out += fmt::format("  {}: {}: {}\n", rule_name(finding.rule), printable(finding.name), printable(finding.message));
  }
  if (shown < findings.size()) out += fmt::format("  and {} more (--all lists them)\n", findings.size() - shown);
  return out;
}

std::string report_text(const Checkpoint& checkpoint, const std::filesystem::path& directory,
                        const HealthReport& health, double seconds, bool all) {
  const auto bytes = static_cast<double>(health.num_bytes);
  std::string out =
      fmt::format("{}: {}, {} in {} file{}, {} weights; read in {:.2f} s ({}/s)\n", directory.string(),
                  printable(checkpoint.producer()), human_bytes(bytes), health.num_files,
                  health.num_files == 1 ? "" : "s", health.totals.num_weights, seconds, human_bytes(bytes / seconds));
  out += kinds_text(health);
  out += findings_text(health.findings, all);
  for (const HealthFinding& note : health.notes)
    out += fmt::format("note: {}: {}: {}\n", rule_name(note.rule), printable(note.name), printable(note.message));
  return out;
}

int run(const CheckOptions& options) {
  auto directory = model_directory(options.directory);
  if (!directory) return report(directory.error());
  auto checkpoint = Checkpoint::open(*directory, {.load_mode = LoadMode::kRead});
  if (!checkpoint) return report(checkpoint.error());
  const auto began = std::chrono::steady_clock::now();
  Progress progress(options.quiet);
  const std::uint32_t num_threads =
      options.num_threads > 0 ? options.num_threads : static_cast<std::uint32_t>(default_num_workers());
  auto health = checkpoint::check_health(
      *checkpoint, {num_threads, [&](std::uint64_t done, std::uint64_t total) { progress.show(done, total); }});
  progress.clear();
  if (!health) return report(health.error());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (options.json) {
    const nlohmann::ordered_json json = report_json(*checkpoint, *directory, *health);
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}", report_text(*checkpoint, *directory, *health, seconds, options.all));
  }
  return health->findings.empty() ? kDone : kFindings;
}

}  // namespace

Command add_check_command(CLI::App& app) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* parser = app.add_subcommand("check", "Reads every byte and says what is numerically sick");
  parser->add_option("DIR", options->directory, "checkpoint directory, or a Hugging Face id in the local cache")
      ->required();
  parser->add_option("--threads", options->num_threads, "threads (default: every core this process may use)")
      ->check(CLI::Range(1, 1024));
  parser->add_flag("--json", options->json, "for programs (keys: below)");
  parser->add_flag("--all", options->all, "list every finding");
  parser->add_flag("--quiet", options->quiet, "no progress bar");
  parser->footer(kJsonKeys);
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
