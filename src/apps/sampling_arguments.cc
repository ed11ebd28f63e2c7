#include "apps/sampling_arguments.h"

#include <CLI/CLI.hpp>
#include <limits>

#include "apps/input.h"

namespace nvfp4::apps {
namespace {

template <class T>
void override_with(const std::optional<T>& given, T& value) {
  if (given) value = *given;
}

}  // namespace

void add_sampling_arguments(CLI::App& parser, SamplingArguments& arguments) {
  constexpr auto kMax32 = std::numeric_limits<std::uint32_t>::max();
  constexpr auto kMax64 = std::numeric_limits<std::uint64_t>::max();
  constexpr double kMaxPenalty = 2;
  parser.add_option("--max-tokens", arguments.max_tokens, "of the answer (until the context is full)")
      ->check(whole_number(1, kMax32));
  parser.add_option("--temperature", arguments.temperature, "0: always the most likely token")
      ->check(real_number(0, 1e6));
  parser.add_option("--top-k", arguments.top_k, "choose among the k most likely (0: off)")
      ->check(whole_number(0, kMax32));
  parser.add_option("--top-p", arguments.top_p, "choose among the most likely that make up p (1: off)")
      ->check(real_number(0, 1));
  parser.add_option("--min-p", arguments.min_p, "least probability relative to the most likely token (0: off)")
      ->check(real_number(0, 1));
  parser.add_option("--repetition-penalty", arguments.repetition_penalty, "on tokens of prompt and answer (1: off)")
      ->check(real_number(1e-6, 1e6));
  parser.add_option("--presence-penalty", arguments.presence_penalty, "on tokens of the answer (0: off)")
      ->check(real_number(-kMaxPenalty, kMaxPenalty));
  parser.add_option("--frequency-penalty", arguments.frequency_penalty, "times their count in the answer (0: off)")
      ->check(real_number(-kMaxPenalty, kMaxPenalty));
  parser.add_option("--seed", arguments.seed, "of the choices: same seed, same text")->check(whole_number(0, kMax64));
  parser.add_option("--stop", arguments.stop_strings, "end the answer before this text; may be given several times")
      ->allow_extra_args(false);
  parser.add_option("--logprobs", arguments.num_logprobs, "in --json: log-probabilities of the n most likely tokens")
      ->check(whole_number(0, layers::SamplingParameters::kMaxLogprobs));
  parser.add_flag("--ignore-eos", arguments.ignore_eos, "go on after the model's end-of-text tokens");
  parser.add_flag("--keep-special-tokens", arguments.keep_special_tokens, "show special tokens in the text");
}

Result<engine::TextRequest> make_request(const SamplingArguments& arguments, const engine::GenerationConfig& defaults) {
  engine::TextRequest request;
  layers::SamplingParameters sampling = defaults.sampling;
  override_with(arguments.temperature, sampling.temperature);
  override_with(arguments.top_k, sampling.top_k);
  override_with(arguments.top_p, sampling.top_p);
  override_with(arguments.min_p, sampling.min_p);
  override_with(arguments.repetition_penalty, sampling.repetition_penalty);
  override_with(arguments.presence_penalty, sampling.presence_penalty);
  override_with(arguments.frequency_penalty, sampling.frequency_penalty);
  if (arguments.seed) sampling.seed = arguments.seed;
  if (arguments.num_logprobs) sampling.num_logprobs = arguments.num_logprobs;
  NVFP4_RETURN_IF_ERROR(sampling.validate());
  request.tokens.sampling = sampling;
  request.tokens.max_tokens = arguments.max_tokens ? arguments.max_tokens : defaults.max_new_tokens;
  if (!arguments.ignore_eos) request.tokens.stop_tokens = defaults.eos_tokens;
  request.stop_strings = arguments.stop_strings;
  request.skip_special_tokens = !arguments.keep_special_tokens;
  return request;
}

}  // namespace nvfp4::apps
