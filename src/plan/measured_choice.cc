#include "plan/measured_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace nvfp4::plan {
namespace {

constexpr double kAlike = 1.05;  // times nearer than this are the same

std::string us_text(double us) {
  return us < 10 ? fmt::format("{:.2f}", us) : us < 100 ? fmt::format("{:.1f}", us) : fmt::format("{:.0f}", us);
}

double us_of(const MeasuredTokens& tokens, std::string_view kernel) {
  for (const Measurement& measured : tokens.kernels) {
    if (measured.kernel == kernel) return measured.us;
  }
  return 0;
}

// The row that speaks for so many tokens; of more than were measured the last one.
const MeasuredTokens& row_of(const MeasuredProblem& problem, std::uint32_t num_tokens) {
  for (const MeasuredTokens& tokens : problem.tokens) {
    if (tokens.num_tokens >= num_tokens) return tokens;
  }
  return problem.tokens.back();
}

// Tokens [first, last], for which one row of the table speaks.
struct Bucket {
  std::uint32_t first = 1;
  std::uint32_t last = 1;
  const MeasuredTokens* measured = nullptr;
};

std::vector<Bucket> buckets_of(const MeasuredProblem& problem, std::uint32_t max_tokens) {
  std::vector<Bucket> buckets;
  std::uint32_t first = 1;
  for (const MeasuredTokens& tokens : problem.tokens) {
    if (first > max_tokens) break;
    const bool is_last = &tokens == &problem.tokens.back();
    const std::uint32_t last = is_last ? max_tokens : std::min(tokens.num_tokens, max_tokens);
    buckets.push_back({first, last, &tokens});
    first = last + 1;
  }
  return buckets;
}

struct Fastest {
  std::size_t candidate_idx = 0;
  double us = 0;         // 0: no candidate was measured
  double best_us = 0;    // of all
  std::size_t next_idx;  // the fastest of the others that may serve, whatever its group
  double next_us = 0;    // 0: there is none
};

Fastest fastest_of(std::span<const Candidate> candidates, const Bucket& bucket, std::string_view group) {
  Fastest found{};
  const auto us = [&](std::size_t i) {
    const double measured = us_of(*bucket.measured, candidates[i].kernel);
    return measured > 0 && candidates[i].accepts(bucket.last) ? measured : 0;
  };
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].group != group || us(i) == 0) continue;
    if (found.best_us == 0 || us(i) < found.best_us) found.best_us = us(i);
  }
  if (found.best_us == 0) return found;
  for (std::size_t i = 0; i < candidates.size() && found.us == 0; ++i) {
    if (candidates[i].group != group || us(i) == 0 || us(i) > kAlike * found.best_us) continue;
    found.candidate_idx = i;
    found.us = us(i);
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i == found.candidate_idx || us(i) == 0 || (found.next_us > 0 && us(i) >= found.next_us)) continue;
    found.next_idx = i;
    found.next_us = us(i);
  }
  return found;
}

std::string reason_of(std::span<const Candidate> candidates, const Bucket& bucket, const Fastest& fastest) {
  std::string text = fmt::format("measured {} us for {} token{}", us_text(fastest.us), bucket.measured->num_tokens,
                                 bucket.measured->num_tokens == 1 ? "" : "s");
  if (fastest.next_us > 0)
    text += fmt::format(", {} {}", candidates[fastest.next_idx].kernel, us_text(fastest.next_us));
  return text;
}

// The group's ranges and how slow it is; infinitely where it does not serve all.
struct GroupChoice {
  std::vector<MeasuredRange> ranges;
  double score = std::numeric_limits<double>::infinity();
};

GroupChoice choose_of(std::span<const Candidate> candidates, const std::vector<Bucket>& buckets,
                      std::string_view group) {
  GroupChoice choice;
  double score = 0;
  for (const Bucket& bucket : buckets) {
    const Fastest fastest = fastest_of(candidates, bucket, group);
    if (fastest.us == 0) return {};
    score += std::log(fastest.best_us);
    std::string reason = reason_of(candidates, bucket, fastest);
    if (!choice.ranges.empty() && choice.ranges.back().candidate_idx == fastest.candidate_idx) {
      choice.ranges.back().last_tokens = bucket.last;
      choice.ranges.back().reason = std::move(reason);
    } else {
      choice.ranges.push_back({bucket.first, bucket.last, fastest.candidate_idx, std::move(reason)});
    }
  }
  choice.score = score;
  return choice;
}

}  // namespace

std::vector<MeasuredRange> choose_measured(std::span<const Candidate> candidates, const MeasuredProblem& problem,
                                           std::uint32_t max_tokens) {
  const std::vector<Bucket> buckets = buckets_of(problem, max_tokens);
  GroupChoice best;
  for (const Candidate& candidate : candidates) {
    GroupChoice choice = choose_of(candidates, buckets, candidate.group);
    if (choice.score < best.score) best = std::move(choice);
  }
  return std::move(best.ranges);
}

std::string measured_rejection(const MeasuredProblem& problem, std::string_view kernel, std::string_view chosen,
                               std::uint32_t num_tokens) {
  const MeasuredTokens& row = row_of(problem, num_tokens);
  const double us = us_of(row, kernel);
  if (us == 0) return fmt::format("serves it, too; not measured, {} was", chosen);
  const double chosen_us = us_of(row, chosen);
  const std::string times = fmt::format("measured {} us, {} {}", us_text(us), chosen, us_text(chosen_us));
  if (us >= chosen_us) return "serves it, too; " + times;
  if (chosen_us <= kAlike * us) return fmt::format("serves it, too; {}, which comes first", times);
  return fmt::format("serves it, too; {}, whose layout is faster over all numbers of tokens", times);
}

double measured_us(const MeasuredProblem& problem, std::string_view kernel, std::uint32_t num_tokens) {
  const MeasuredTokens& row = row_of(problem, num_tokens);
  return row.num_tokens < num_tokens ? 0 : us_of(row, kernel);
}

}  // namespace nvfp4::plan
