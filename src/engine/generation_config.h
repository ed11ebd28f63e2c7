// What a model's author recommends for generating with it: generation_config.json, else what config.json says.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/model_root.h"
#include "layers/sampler.h"
#include "nvfp4/result.h"
#include "nvfp4/token.h"

namespace nvfp4::engine {

struct GenerationConfig {
  layers::SamplingParameters sampling;
  std::vector<TokenId> eos_tokens;  // each ends an answer
  std::optional<std::uint32_t> max_new_tokens;

  // The fields of generation_config.json: do_sample, temperature, top_k, top_p, min_p, repetition_penalty,
  // max_new_tokens, eos_token_id (a number or a list); all others are about things that this engine does not do.
  // do_sample = false means greedy; without do_sample, a file is greedy that gives none of temperature, top_k, top_p
  // and min_p. eos ids come from config.json (or its text_config) when the file has none. Neither file need be there.
  [[nodiscard]] static Result<GenerationConfig> read(const checkpoint::ModelRoot& root);
};

}  // namespace nvfp4::engine
