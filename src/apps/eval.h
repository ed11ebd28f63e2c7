// The two measurements of `nvfp4 eval`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "apps/model_arguments.h"
#include "apps/score.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

using OnStart = std::function<void()>;

struct ProblemOptions {
  std::string file;           // JSON lines with "question" and "answer"
  std::string prompt_format;  // with {question}
  std::uint32_t max_tokens = 256;
  std::uint32_t concurrency = 32;
  std::uint64_t limit = 0;  // of problems; 0: all
  std::string out;          // JSON lines with every answer; empty: none
};

struct ProblemResult {
  Share exact;
  std::uint64_t num_tokens = 0;
  std::uint64_t num_cut = 0;  // answers that max_tokens ended
  double seconds = 0;
};

// Greedy answers to every problem; a hit has the same final number as the problem's own answer. on_start comes when
// all input was found good. `show` counts along on stderr.
[[nodiscard]] Result<ProblemResult> evaluate_problems(const RunnableModel& model, const ProblemOptions& options,
                                                      bool show, const OnStart& on_start);

struct TextOptions {
  std::string file;
  std::uint32_t window = 512;  // tokens that are scored with each other as context; at most the model's context
};

struct TextResult {
  std::uint64_t num_tokens = 0;  // scored: all but the first of each window
  double perplexity = 0;         // exp(mean -log p(token))
  std::optional<double> reference_perplexity;
  std::optional<double> kl_divergence;  // mean over tokens of KL(reference || model), in nats
  std::optional<double> same_top1;      // share of tokens where both find the same token most likely
};

// `reference` may be null; it must have the same vocabulary.
[[nodiscard]] Result<TextResult> evaluate_text(const RunnableModel& model, const RunnableModel* reference,
                                               const TextOptions& options, const OnStart& on_start);

}  // namespace nvfp4::apps
