// Which kernel serves for how many tokens, by numbers that are written down here.
#include "plan/measured_choice.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nvfp4::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Candidate candidate(std::string_view kernel, std::string group = "one", std::uint32_t most = 1U << 20U) {
  return {kernel, std::move(group), [most](std::uint32_t tokens) { return tokens <= most; }};
}
// {tokens, {{kernel, us} ...}} ...
MeasuredProblem problem(std::vector<MeasuredTokens> tokens) { return {"linear/w4a16/n64/k64", std::move(tokens)}; }

// "1-8 a", "9-64 b" of up to max_tokens.
std::vector<std::string> ranges(const std::vector<Candidate>& candidates, const MeasuredProblem& measured,
                                std::uint32_t max_tokens) {
  std::vector<std::string> out;
  for (const MeasuredRange& range : choose_measured(candidates, measured, max_tokens)) {
    out.push_back(
        fmt::format("{}-{} {}", range.first_tokens, range.last_tokens, candidates[range.candidate_idx].kernel));
  }
  return out;
}

const std::vector<Candidate> kTwo = {candidate("a"), candidate("b")};

TEST(MeasuredChoice, TheFastestServes) {
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"a", 10}, {"b", 8}}}}), 64), ElementsAre("1-64 b"));
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"a", 8}, {"b", 10}}}}), 64), ElementsAre("1-64 a"));
}
// 5 % are noise: the list decides.
TEST(MeasuredChoice, TiesGoToTheFirstOfTheList) {
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"a", 10}, {"b", 10}}}}), 1), ElementsAre("1-1 a"));
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"b", 10}, {"a", 10.4}}}}), 1), ElementsAre("1-1 a"));
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"b", 10}, {"a", 10.6}}}}), 1), ElementsAre("1-1 b"));
}
TEST(MeasuredChoice, CrossoversAreWhereTheTableHasThem) {
  const MeasuredProblem measured = problem({{1, {{"a", 4}, {"b", 20}}},
                                            {8, {{"a", 16}, {"b", 20}}},
                                            {16, {{"a", 30}, {"b", 21}}},
                                            {64, {{"a", 120}, {"b", 30}}}});
  EXPECT_THAT(ranges(kTwo, measured, 8192), ElementsAre("1-8 a", "9-8192 b"));
  EXPECT_THAT(ranges(kTwo, measured, 9), ElementsAre("1-8 a", "9-9 b"));
  EXPECT_THAT(ranges(kTwo, measured, 8), ElementsAre("1-8 a"));
}
TEST(MeasuredChoice, AKernelMayServeTwice) {
  const MeasuredProblem measured =
      problem({{1, {{"a", 4}, {"b", 8}}}, {2, {{"a", 8}, {"b", 4}}}, {4, {{"a", 4}, {"b", 8}}}});
  EXPECT_THAT(ranges(kTwo, measured, 4), ElementsAre("1-1 a", "2-2 b", "3-4 a"));
}
TEST(MeasuredChoice, AnEarlierMeasurementOfMoreTokensSpeaksForFewer) {
  EXPECT_THAT(ranges(kTwo, problem({{16, {{"a", 9}, {"b", 5}}}}), 4), ElementsAre("1-4 b"));
}
TEST(MeasuredChoice, WhatWasNotMeasuredIsNotChosen) {
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"b", 10}}}}), 64), ElementsAre("1-64 b"));
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"a", 10}}}, {2, {{"b", 10}}}}), 64), ElementsAre("1-1 a", "2-64 b"));
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"c", 1}}}}), 64), IsEmpty());
  EXPECT_THAT(ranges(kTwo, problem({{1, {{"a", 1}}}, {2, {}}}), 64), IsEmpty());
}
TEST(MeasuredChoice, WhatRefusesIsNotChosen) {
  const std::vector<Candidate> few = {candidate("a", "one", 64), candidate("b")};
  const MeasuredProblem measured = problem({{64, {{"a", 10}, {"b", 30}}}, {128, {{"a", 20}, {"b", 40}}}});
  EXPECT_THAT(ranges(few, measured, 64), ElementsAre("1-64 a"));
  EXPECT_THAT(ranges(few, measured, 65), ElementsAre("1-64 a", "65-65 b"));
  // The last measurement speaks for all larger numbers, which a cannot serve.
  EXPECT_THAT(ranges(few, problem({{64, {{"a", 10}, {"b", 30}}}}), 65), ElementsAre("1-65 b"));
}
TEST(MeasuredChoice, KernelsOfOneLayerAreOfOneGroup) {
  const std::vector<Candidate> groups = {candidate("a", "x"), candidate("b", "y"), candidate("c", "y")};
  // y has the smaller product: 10 * 10 against 4 * 40.
  EXPECT_THAT(ranges(groups, problem({{1, {{"a", 4}, {"b", 10}}}, {2, {{"a", 40}, {"b", 30}, {"c", 10}}}}), 2),
              ElementsAre("1-1 b", "2-2 c"));
  EXPECT_THAT(ranges(groups, problem({{1, {{"a", 4}, {"b", 10}}}, {2, {{"a", 20}, {"b", 30}, {"c", 10}}}}), 2),
              ElementsAre("1-2 a"));
  // Equal products: the group of the first in the list.
  EXPECT_THAT(ranges(groups, problem({{1, {{"a", 4}, {"b", 8}}}, {2, {{"a", 8}, {"b", 4}}}}), 2), ElementsAre("1-2 a"));
  // A group that cannot serve all is none.
  const std::vector<Candidate> few = {candidate("a", "x", 1), candidate("b", "y")};
  EXPECT_THAT(ranges(few, problem({{1, {{"a", 1}, {"b", 10}}}, {2, {{"b", 10}}}}), 2), ElementsAre("1-2 b"));
}
TEST(MeasuredChoice, ReasonsHaveTheNumbers) {
  const MeasuredProblem measured = problem({{8, {{"a", 12.34}, {"b", 15.06}}}});
  EXPECT_EQ(choose_measured(kTwo, measured, 8)[0].reason, "measured 12.3 us for 8 tokens, b 15.1");
  EXPECT_EQ(choose_measured(kTwo, problem({{1, {{"b", 1760}}}}), 8)[0].reason, "measured 1760 us for 1 token");
  EXPECT_EQ(measured_rejection(measured, "b", "a", 8), "serves it, too; measured 15.1 us, a 12.3");
  EXPECT_EQ(measured_rejection(measured, "b", "a", 100), "serves it, too; measured 15.1 us, a 12.3");
  EXPECT_EQ(measured_rejection(measured, "c", "a", 8), "serves it, too; not measured, a was");
  EXPECT_THAT(measured_rejection(problem({{1, {{"a", 10}, {"b", 9.9}}}}), "b", "a", 1), HasSubstr("which comes first"));
  EXPECT_THAT(measured_rejection(problem({{1, {{"a", 10}, {"b", 5}}}}), "b", "a", 1),
              HasSubstr("whose layout is faster over all numbers of tokens"));
}
TEST(MeasuredChoice, TimesAreThoseOfTheRow) {
  const MeasuredProblem measured = problem({{1, {{"a", 4}}}, {8, {{"a", 16}}}});
  EXPECT_EQ(measured_us(measured, "a", 1), 4);
  EXPECT_EQ(measured_us(measured, "a", 2), 16);
  EXPECT_EQ(measured_us(measured, "a", 8), 16);
  EXPECT_EQ(measured_us(measured, "a", 9), 0);
  EXPECT_EQ(measured_us(measured, "b", 1), 0);
}

}  // namespace
}  // namespace nvfp4::plan
