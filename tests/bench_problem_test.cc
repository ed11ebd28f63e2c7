// The lines that `nvfp4 bench` takes: what they mean, what they cost at least, what is wrong with bad ones.
#include "apps/bench_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace nvfp4::apps {
namespace {

using testing::HasSubstr;

BenchProblem parse(const std::string& text) {
  auto problem = parse_bench_problem(text);
  EXPECT_TRUE(problem.ok()) << problem.error().to_string();
  return problem ? *problem : BenchProblem{};
}

TEST(BenchProblem, LinearHasItsSizes) {
  const BenchProblem problem = parse("linear/w4a16/n4096/k2048/t3");
  EXPECT_FALSE(problem.is_moe());
  EXPECT_EQ(problem.out_features, 4096U);
  EXPECT_EQ(problem.in_features, 2048U);
  EXPECT_EQ(problem.num_tokens, 3U);
  EXPECT_EQ(problem.output_size(), 4096U);
  EXPECT_EQ(problem.input_size(), 2048U);
  EXPECT_EQ(problem.bytes_read(1), 4096.0 * 2048 * 4.5 / 8);
  EXPECT_EQ(problem.operations(), 2.0 * 4096 * 2048 * 3);
}

TEST(BenchProblem, MoeHasItsSizes) {
  const BenchProblem problem = parse("moe/w4a4/silu/h2048/i768/e128/k8/t512");
  EXPECT_TRUE(problem.is_moe());
  EXPECT_EQ(problem.hidden_size, 2048U);
  EXPECT_EQ(problem.intermediate_size, 768U);
  EXPECT_EQ(problem.num_experts, 128U);
  EXPECT_EQ(problem.top_k, 8U);
  EXPECT_EQ(problem.output_size(), 2048U);
  const double router_bytes = 128 * 2048 * 2;
  EXPECT_EQ(problem.bytes_read(0), router_bytes);
  EXPECT_EQ(problem.bytes_read(8), router_bytes + 8 * 3 * 2048.0 * 768 * 4.5 / 8);
  EXPECT_EQ(problem.weight_bytes(), problem.bytes_read(128));
  EXPECT_EQ(problem.operations(), 2.0 * 3 * 2048 * 768 * 512 * 8);
  // Without a gate there are two matrices.
  EXPECT_EQ(parse("moe/bf16/relu2/h64/i32/e4/k2/t1").operations(), 2.0 * 2 * 64 * 32 * 2);
  EXPECT_EQ(parse("moe/bf16/gelu_tanh/h64/i32/e4/k2/t1").operations(), 2.0 * 3 * 64 * 32 * 2);
}

TEST(BenchProblem, SchemesAreFormatsAndActivations) {
  using kernels::WeightFormat;
  const std::vector<std::pair<std::string, std::pair<WeightFormat, Activation>>> schemes = {
      {"w4a16", {WeightFormat::kNvfp4, Activation::k16Bit}},
      {"w4a4", {WeightFormat::kNvfp4, Activation::kNvfp4Static}},
      {"bf16", {WeightFormat::kBF16, Activation::k16Bit}},
      {"fp8", {WeightFormat::kFp8, Activation::k16Bit}},
      {"w8a8", {WeightFormat::kFp8, Activation::kFp8Dynamic}},
      {"f16", {WeightFormat::kF16, Activation::k16Bit}},
      {"f32", {WeightFormat::kF32, Activation::k16Bit}}};
  for (const auto& [name, meaning] : schemes) {
    const BenchProblem problem = parse("linear/" + name + "/n32/k64/t1");
    EXPECT_EQ(weight_format(problem.scheme), meaning.first) << name;
    EXPECT_EQ(activation(problem.scheme), meaning.second) << name;
    const double bits =
        meaning.first == WeightFormat::kNvfp4 ? 4.5 : static_cast<double>(kernels::bits_per_weight(meaning.first));
    EXPECT_EQ(problem.bytes_read(1), 32 * 64 * bits / 8) << name;
  }
}

TEST(BenchProblem, WritingAndReadingAgree) {
  for (const std::string text :
       {"linear/w4a16/n4096/k2048/t1", "linear/w4a4/n1/k16/t512", "linear/bf16/n7/k5/t2", "linear/fp8/n151936/k2048/t1",
        "linear/w8a8/n8/k8/t8", "linear/f16/n8/k9/t8", "linear/f32/n8/k10/t8", "moe/w4a16/silu/h16/i32/e1/k1/t1",
        "moe/w4a4/relu2/h2048/i768/e128/k8/t512", "moe/bf16/gelu_tanh/h3/i5/e4096/k4096/t65536"}) {
    EXPECT_EQ(parse(text).to_string(), text);
  }
}

TEST(BenchProblem, ErrorsNameTheProblemThePartAndAnExample) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "\"\" is no operation; there are linear, moe"},
      {"disk", "\"disk\" is no operation"},
      {"Linear/w4a16/n16/k16/t1", "\"Linear\" is no operation"},
      {"linear", "ends before the scheme"},
      {"linear/w4a8/n16/k16/t1", "\"w4a8\" is no scheme; there are w4a16, w4a4, bf16, fp8, w8a8, f16, f32"},
      {"linear/w4a16/4096/k16/t1", "\"4096\" is no number of outputs; write n and a number from 1 to 16777216"},
      {"linear/w4a16/k16/n16/t1", "\"k16\" is no number of outputs"},
      {"linear/w4a16/n/k16/t1", "\"n\" is no number of outputs"},
      {"linear/w4a16/n0/k16/t1", "\"n0\" is no number of outputs"},
      {"linear/w4a16/n-1/k16/t1", "\"n-1\" is no number of outputs"},
      {"linear/w4a16/n16x/k16/t1", "\"n16x\" is no number of outputs"},
      {"linear/w4a16/n99999999999999999999/k16/t1", "\"n99999999999999999999\" is no number of outputs"},
      {"linear/w4a16/n16/k24/t1", "\"k24\" is no multiple of 16"},
      {"linear/w4a4/n16/k16", "ends before the number of tokens"},
      {"linear/w4a16/n16/k16/t65537", "\"t65537\" is no number of tokens"},
      {"linear/w4a16/n16/k16/t1/", "\"\" is one part too many"},
      {"linear/w4a16/n16/k16/t1/x2", "\"x2\" is one part too many"},
      {"moe/fp8/silu/h16/i16/e4/k2/t1", "\"fp8\" is no scheme of experts; there are w4a16, w4a4, bf16"},
      {"moe/w4a4/relu/h16/i16/e4/k2/t1", "\"relu\" is no activation; there are silu, relu2, gelu_tanh"},
      {"moe/w4a4/silu/h8/i16/e4/k2/t1", "\"h8\" is no multiple of 16"},
      {"moe/w4a4/silu/h16/i8/e4/k2/t1", "\"i8\" is no multiple of 16"},
      {"moe/w4a4/silu/h16/i16/e4/k5/t1", "\"k5\" is more than the 4 experts"},
      {"moe/w4a4/silu/h16/i16/e4097/k5/t1", "\"e4097\" is no number of experts"}};
  for (const auto& [text, message] : cases) {
    const auto problem = parse_bench_problem(text);
    ASSERT_FALSE(problem.ok()) << text;
    const std::string error = problem.error().to_string();
    EXPECT_THAT(error, HasSubstr("\"" + text + "\""));
    EXPECT_THAT(error, HasSubstr(message));
    const std::string example =
        text.starts_with("moe") ? "moe/w4a4/silu/h2048/i768/e128/k8/t512" : "linear/w4a16/n4096/k2048/t1";
    EXPECT_THAT(error, HasSubstr("an example is " + example));
    EXPECT_TRUE(parse_bench_problem(example).ok());
    EXPECT_EQ(problem.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace nvfp4::apps
