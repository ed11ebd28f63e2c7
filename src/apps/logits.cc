// nvfp4 logits DIR --tokens 1,2,3 --out FILE.npy [--all-layers]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/input.h"
#include "apps/model_arguments.h"
#include "apps/model_report.h"
#include "apps/npy.h"
#include "engine/logit_session.h"

namespace nvfp4::apps {
namespace {

struct LogitsOptions {
  ModelArguments model;
  std::string tokens;
  std::string out;
  bool all_layers = false;
};

// Collects the residual stream as [depths, tokens, hidden] although steps bring it as [tokens of the step, hidden].
class HiddenCollector final : public models::HiddenTap {
 public:
  HiddenCollector(const models::ModelShape& shape, std::size_t num_tokens)
      : hidden_size_(shape.hidden_size),
        num_tokens_(num_tokens),
        values_((shape.num_layers + std::size_t{1}) * num_tokens * shape.hidden_size) {}

  void begin_step(std::size_t first_token) { first_token_ = first_token; }
  void take(std::uint32_t depth, std::span<const float> hidden) override {
    std::copy(hidden.begin(), hidden.end(), values_.data() + (depth * num_tokens_ + first_token_) * hidden_size_);
  }
  [[nodiscard]] std::span<const float> values() const { return values_; }

 private:
  std::size_t hidden_size_;
  std::size_t num_tokens_;
  std::size_t first_token_ = 0;
  std::vector<float> values_;
};

// "x.npy" -> "x.hidden.npy".
std::string hidden_path(const std::string& out) {
  std::filesystem::path path(out);
  return path.replace_extension().string() + ".hidden.npy";
}

Status compute(const LogitsOptions& options, const RunnableModel& model, std::span<const TokenId> tokens) {
  constexpr std::uint32_t kStepTokens = 64;
  const models::ModelShape& shape = model.model->shape();
  const auto num_tokens = static_cast<std::uint32_t>(tokens.size());
  auto session = engine::LogitSession::create(*model.model, model.kv_type, num_tokens,
                                              std::min(num_tokens, kStepTokens), *model.pool);
  NVFP4_RETURN_IF_ERROR(session);
  auto writer = NpyWriter::create(options.out, std::array<std::uint64_t, 2>{num_tokens, shape.vocab_size});
  NVFP4_RETURN_IF_ERROR(writer);
  std::optional<NpyWriter> hidden_writer;
  if (options.all_layers) {
    const std::array<std::uint64_t, 3> dimensions = {shape.num_layers + 1U, num_tokens, shape.hidden_size};
    auto created = NpyWriter::create(hidden_path(options.out), dimensions);
    NVFP4_RETURN_IF_ERROR(created);
    hidden_writer.emplace(std::move(created).value());
  }
  if (!options.model.quiet) print_kernels(model, stderr);
  HiddenCollector collector(shape, options.all_layers ? num_tokens : 0);
  for (std::size_t at = 0; at < tokens.size(); at += kStepTokens) {
    collector.begin_step(at);
    const auto step = tokens.subspan(at, std::min<std::size_t>(kStepTokens, tokens.size() - at));
    NVFP4_RETURN_IF_ERROR(writer->append(session->feed(step, options.all_layers ? &collector : nullptr)));
  }
  if (hidden_writer) {
    NVFP4_RETURN_IF_ERROR(hidden_writer->append(collector.values()));
    NVFP4_RETURN_IF_ERROR(hidden_writer->close());
  }
  return writer->close();
}

int run(const LogitsOptions& options) {
  const auto tokens = parse_tokens(options.tokens, "--tokens");
  if (!tokens) return report(tokens.error());
  auto model = load_runnable_model(options.model);
  if (!model) return report(model.error());
  if (Status status = engine::check_tokens(model->model->shape(), *tokens); !status) return report(status.error());
  if (Status status = compute(options, *model, *tokens); !status) return report(status.error());
  return kDone;
}

}  // namespace

Command add_logits_command(CLI::App& app) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* parser = app.add_subcommand("logits", "Write the logits of some tokens as float32 [T, V]");
  add_model_arguments(*parser, options->model);
  parser->add_option("--tokens", options->tokens, "token ids: 1,2,3")->required();
  parser->add_option("--out", options->out, "the .npy file to write")->required();
  parser->add_flag("--all-layers", options->all_layers,
                   "also the residual stream after the embedding and each layer, [L + 1, T, H], to NAME.hidden.npy");
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
