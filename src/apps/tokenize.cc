// nvfp4 tokenize DIR [--text TEXT | --file F | stdin] [--decode]
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/input.h"
#include "apps/model_arguments.h"
#include "text/tokenizer.h"

namespace nvfp4::apps {
namespace {

struct TokenizeOptions {
  std::string directory;
  std::optional<std::string> text;
  std::string file = "-";
  bool decode = false;
  bool no_special_tokens = false;
  bool skip_special_tokens = false;
  bool json = false;
};

int decode(const TokenizeOptions& options, const Tokenizer& tokenizer, const std::string& list) {
  const auto ids = parse_tokens(list, "tokens");
  if (!ids) return report(ids.error());
  for (std::size_t i = 0; i < ids->size(); ++i) {
    if (!tokenizer.contains((*ids)[i])) {
      return report({ErrorCode::kInvalidArgument, fmt::format("tokens[{}]", i),
                     fmt::format("{} is no token of this vocabulary, which has ids below {}", (*ids)[i],
                                 tokenizer.vocab_size())});
    }
  }
  const std::string text = tokenizer.decode(*ids, options.skip_special_tokens);
  if (options.json) {
    fmt::print("{}\n", nlohmann::json{{"text", text}}.dump());
  } else {
    fmt::print("{}", text);
  }
  return kDone;
}

int encode(const TokenizeOptions& options, const Tokenizer& tokenizer, const std::string& text) {
  const auto ids = tokenizer.encode(text, !options.no_special_tokens);
  if (!ids) return report(ids.error());
  if (!options.json) {
    fmt::print("{}\n", fmt::join(*ids, " "));
    return kDone;
  }
  nlohmann::json pieces = nlohmann::json::array();
  for (const TokenId id : *ids) pieces.push_back(std::string(tokenizer.bytes(id)));
  // A token may be part of a character: such bytes are shown as U+FFFD.
  fmt::print("{}\n", nlohmann::json{{"tokens", *ids}, {"pieces", pieces}}.dump(
                         -1, ' ', false, nlohmann::json::error_handler_t::replace));
  return kDone;
}

int run(const TokenizeOptions& options) {
  auto directory = model_directory(options.directory);
  if (!directory) return report(directory.error());
  auto tokenizer = load_tokenizer(*directory);
  if (!tokenizer) return report(tokenizer.error());
  auto text = options.text ? Result<std::string>(*options.text) : read_text(options.file);
  if (!text) return report(text.error());
  return options.decode ? decode(options, *tokenizer, *text) : encode(options, *tokenizer, *text);
}

}  // namespace

Command add_tokenize_command(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* parser = app.add_subcommand("tokenize", "Turn text into token ids, or with --decode ids into text");
  parser->add_option("DIR", options->directory, "checkpoint directory, or a Hugging Face id in the local cache")
      ->required();
  auto* text = parser->add_option("--text", options->text, "the text, or the ids");
  parser->add_option("--file", options->file, "a file with the text, or the ids (-: standard input)")->excludes(text);
  parser->add_flag("--decode", options->decode, "the input is ids, the output text");
  parser->add_flag("--no-special-tokens", options->no_special_tokens, "without those that go around every text");
  parser->add_flag("--skip-special-tokens", options->skip_special_tokens, "with --decode: leave them out");
  parser->add_flag("--json", options->json, "{\"tokens\": [...], \"pieces\": [...]} or {\"text\": ...}");
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
