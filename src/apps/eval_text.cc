#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "apps/eval.h"
#include "apps/input.h"
#include "engine/logit_session.h"

namespace nvfp4::apps {
namespace {

constexpr std::uint32_t kStepTokens = 64;

// log of the sum of exp of a row, and its largest entry.
struct RowFacts {
  double log_sum = 0;
  std::size_t top = 0;
};

RowFacts row_facts(std::span<const float> row) {
  RowFacts facts;
  facts.top = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
  const double largest = row[facts.top];
  double sum = 0;
  for (const float logit : row) sum += std::exp(logit - largest);
  facts.log_sum = largest + std::log(sum);
  return facts;
}

// Sum over the vocabulary of p (log p - log q), p from the reference.
double kl_divergence(std::span<const float> reference, const RowFacts& p, std::span<const float> model,
                     const RowFacts& q) {
  double sum = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - p.log_sum;
    sum += std::exp(log_p) * (log_p - (model[i] - q.log_sum));
  }
  return sum;
}

class TextScorer {
 public:
  TextScorer(engine::LogitSession session, std::optional<engine::LogitSession> reference, std::size_t vocab_size)
      : session_(std::move(session)), reference_(std::move(reference)), vocab_size_(vocab_size) {}

  // Scores all tokens of a window but the first.
  void score(std::span<const TokenId> window) {
    session_.restart();
    if (reference_) reference_->restart();
    for (std::size_t at = 0; at + 1 < window.size(); at += kStepTokens) {
      const auto step = window.subspan(at, std::min<std::size_t>(kStepTokens, window.size() - 1 - at));
      const std::span<const float> logits = session_.feed(step);
      const std::span<const float> expected = reference_ ? reference_->feed(step) : std::span<const float>();
      for (std::size_t i = 0; i < step.size(); ++i) score_row(i, logits, expected, window[at + i + 1]);
    }
  }

  [[nodiscard]] TextResult result() const {
    TextResult out;
    out.num_tokens = num_tokens_;
    const auto n = static_cast<double>(num_tokens_);
    out.perplexity = std::exp(-log_likelihood_ / n);
    if (reference_) {
      out.reference_perplexity = std::exp(-reference_log_likelihood_ / n);
      out.kl_divergence = kl_ / n;
      out.same_top1 = static_cast<double>(num_same_top1_) / n;
    }
    return out;
  }

 private:
  void score_row(std::size_t i, std::span<const float> logits, std::span<const float> expected, TokenId next) {
    const std::span<const float> row = logits.subspan(i * vocab_size_, vocab_size_);
    const RowFacts facts = row_facts(row);
    log_likelihood_ += row[next] - facts.log_sum;
    ++num_tokens_;
    if (!reference_) return;
    const std::span<const float> reference_row = expected.subspan(i * vocab_size_, vocab_size_);
    const RowFacts reference_facts = row_facts(reference_row);
    reference_log_likelihood_ += reference_row[next] - reference_facts.log_sum;
    kl_ += kl_divergence(reference_row, reference_facts, row, facts);
    num_same_top1_ += facts.top == reference_facts.top ? 1 : 0;
  }

  engine::LogitSession session_;
  std::optional<engine::LogitSession> reference_;
  std::size_t vocab_size_;
  std::uint64_t num_tokens_ = 0;
  std::uint64_t num_same_top1_ = 0;
  double log_likelihood_ = 0;
  double reference_log_likelihood_ = 0;
  double kl_ = 0;
};

}  // namespace

Result<TextResult> evaluate_text(const RunnableModel& model, const RunnableModel* reference, const TextOptions& options,
                                 const OnStart& on_start) {
  auto tokenizer = require_tokenizer(model);
  NVFP4_RETURN_IF_ERROR(tokenizer);
  auto text = read_text(options.file);
  NVFP4_RETURN_IF_ERROR(text);
  auto tokens = (*tokenizer)->encode(*text);
  if (!tokens) return Error{tokens.error().code, options.file, tokens.error().message};
  if (tokens->size() < 2) {
    return Error{ErrorCode::kInvalidArgument, options.file, "has fewer than two tokens, so there is nothing to score"};
  }
  const models::ModelShape& shape = model.model->shape();
  if (reference != nullptr && reference->model->shape().vocab_size != shape.vocab_size) {
    return Error{ErrorCode::kContradiction, reference->label,
                 fmt::format("has a vocabulary of {}, the model one of {}; they cannot be compared",
                             reference->model->shape().vocab_size, shape.vocab_size)};
  }
  const std::uint32_t window = std::min(std::max(options.window, 2U), shape.max_positions);
  auto session = engine::LogitSession::create(*model.model, model.kv_type, window, kStepTokens, *model.pool);
  NVFP4_RETURN_IF_ERROR(session);
  std::optional<engine::LogitSession> reference_session;
  if (reference != nullptr) {
    auto created =
        engine::LogitSession::create(*reference->model, reference->kv_type, window, kStepTokens, *reference->pool);
    NVFP4_RETURN_IF_ERROR(created);
    reference_session = std::move(created).value();
  }
  on_start();
  TextScorer scorer(std::move(session).value(), std::move(reference_session), shape.vocab_size);
  for (std::size_t at = 0; at + 1 < tokens->size(); at += window) {
    scorer.score(std::span(*tokens).subspan(at, std::min<std::size_t>(window, tokens->size() - at)));
  }
  return scorer.result();
}

}  // namespace nvfp4::apps
