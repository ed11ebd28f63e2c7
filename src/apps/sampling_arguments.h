// Flags for how tokens are chosen. What is not given comes from the checkpoint's generation_config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generation_config.h"
#include "engine/text_generation.h"

namespace CLI {
class App;
}

namespace nvfp4::apps {

struct SamplingArguments {
  std::optional<float> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<std::uint32_t> top_k, num_logprobs, max_tokens;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop_strings;
  bool ignore_eos = false;
  bool keep_special_tokens = false;
};

void add_sampling_arguments(CLI::App& parser, SamplingArguments& arguments);

// The request without its prompt. An Error names the flag that is out of range.
[[nodiscard]] Result<engine::TextRequest> make_request(const SamplingArguments& arguments,
                                                       const engine::GenerationConfig& defaults);

}  // namespace nvfp4::apps
