// nvfp4 eval DIR --problems FILE.jsonl | --text FILE [--against SCHEME | --against-dir DIR]
#include "apps/eval.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/command.h"
#include "apps/input.h"
#include "apps/model_report.h"

namespace nvfp4::apps {
namespace {

struct EvalOptions {
  ModelArguments model;
  ProblemOptions problems;
  TextOptions text;
  std::string against;      // activations of the reference
  std::string against_dir;  // checkpoint of the reference
  bool json = false;
};

nlohmann::json json_of(const ProblemResult& result) {
  const auto interval = result.exact.interval95();
  return {{"num_problems", result.exact.num_all},
          {"num_exact", result.exact.num_hits},
          {"exact_match", result.exact.value()},
          {"interval95", {interval.low, interval.high}},
          {"num_cut", result.num_cut},
          {"output_tokens", result.num_tokens},
          {"seconds", result.seconds},
          {"output_tokens_per_second", static_cast<double>(result.num_tokens) / result.seconds}};
}

nlohmann::json json_of(const TextResult& result) {
  nlohmann::json out = {{"num_tokens", result.num_tokens}, {"perplexity", result.perplexity}};
  if (result.kl_divergence) {
    out["reference_perplexity"] = *result.reference_perplexity;
    out["kl_divergence"] = *result.kl_divergence;
    out["same_top1"] = *result.same_top1;
  }
  return out;
}

void print(const EvalOptions& options, const ProblemResult& result) {
  const auto interval = result.exact.interval95();
  fmt::print("exact match  {:.2f} %  [{:.2f}, {:.2f}]  {} of {}  activations {}, {}\n", 100 * result.exact.value(),
             100 * interval.low, 100 * interval.high, result.exact.num_hits, result.exact.num_all,
             options.model.activations, options.model.precision);
  if (result.num_cut > 0) fmt::print("{} answers were cut at {} tokens\n", result.num_cut, options.problems.max_tokens);
  fmt::print("{} tokens, {:.0f} tokens/s\n", result.num_tokens,
             static_cast<double>(result.num_tokens) / result.seconds);
}

void print(const EvalOptions& options, const TextResult& result) {
  fmt::print("perplexity   {:.4f}  over {} tokens  activations {}, {}\n", result.perplexity, result.num_tokens,
             options.model.activations, options.model.precision);
  if (!result.kl_divergence) return;
  fmt::print("reference    {:.4f}\nKL(reference || model)  {:.6f} nats per token\nsame top-1   {:.2f} %\n",
             *result.reference_perplexity, *result.kl_divergence, 100 * *result.same_top1);
}

template <class T>
int tell(const EvalOptions& options, const RunnableModel& model, const Result<T>& result) {
  if (!result) return report(result.error());
  if (options.json) {
    nlohmann::json out = json_of(*result);
    out["model"] = model.label;
    out["activations"] = options.model.activations;
    out["precision"] = options.model.precision;
    add_kernels(model, out);
    fmt::print("{}\n", out.dump(2));
  } else {
    print(options, *result);
  }
  return kDone;
}

int run_text(const EvalOptions& options, const RunnableModel& model, const OnStart& on_start) {
  if (options.against.empty() && options.against_dir.empty()) {
    return tell(options, model, evaluate_text(model, nullptr, options.text, on_start));
  }
  ModelArguments arguments = options.model;
  if (!options.against_dir.empty()) arguments.directory = options.against_dir;
  arguments.activations = options.against.empty() ? "checkpoint" : options.against;
  auto reference = load_runnable_model(arguments);
  if (!reference) return report(reference.error());
  return tell(options, model, evaluate_text(model, &*reference, options.text, on_start));
}

int run(const EvalOptions& options) {
  if (options.problems.file.empty() == options.text.file.empty()) {
    return report({ErrorCode::kInvalidArgument, "nvfp4 eval", "give either --problems FILE or --text FILE"});
  }
  auto model = load_runnable_model(options.model);
  if (!model) return report(model.error());
  const auto on_start = [&] {
    if (!options.model.quiet) print_kernels(*model, stderr);
  };
  if (!options.text.file.empty()) return run_text(options, *model, on_start);
  const bool show = !options.model.quiet && isatty(STDERR_FILENO) != 0;
  return tell(options, *model, evaluate_problems(*model, options.problems, show, on_start));
}

}  // namespace

Command add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  options->problems.prompt_format = "Question: {question}\nAnswer:";
  CLI::App* parser = app.add_subcommand("eval", "Measure accuracy: exact match on problems, or perplexity of a text");
  add_model_arguments(*parser, options->model);
  auto* problems = parser->add_option("--problems", options->problems.file,
                                      "JSON lines with \"question\" and \"answer\" (... #### N)");
  parser->add_option("--prompt-format", options->problems.prompt_format,
                     "of a problem, with {question} (\"Question: {question}\\nAnswer:\")");
  parser->add_option("--max-tokens", options->problems.max_tokens, "of an answer (256)")
      ->check(whole_number(1, 1 << 20));
  parser->add_option("--concurrency", options->problems.concurrency, "problems at a time (32)")
      ->check(whole_number(1, 4096));
  parser->add_option("--limit", options->problems.limit, "only the first n problems")
      ->check(whole_number(1, std::numeric_limits<std::uint64_t>::max()));
  parser->add_option("--answers", options->problems.out, "write every answer to this file, as JSON lines");
  auto* text =
      parser->add_option("--text", options->text.file, "a text whose perplexity is wanted")->excludes(problems);
  parser->add_option("--window", options->text.window, "tokens of context for --text (512)")
      ->check(whole_number(2, 1 << 20));
  parser
      ->add_option("--against", options->against,
                   "with --text: also the KL divergence from the model under these activations")
      ->check(CLI::IsMember({"checkpoint", "w4a16", "w4a4"}))
      ->needs(text);
  parser->add_option("--against-dir", options->against_dir, "with --text: ... from this checkpoint")->needs(text);
  parser->add_flag("--json", options->json, "as JSON");
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
