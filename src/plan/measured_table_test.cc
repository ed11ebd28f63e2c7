#include "plan/measured_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plan/planner.h"

namespace nvfp4::plan {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const Machine kMachine = *find_machine("cpu-avx2");
constexpr std::string_view kBuild = "0.1.0 GNU 12.2";
constexpr std::string_view kKernel = "linear_nvfp4_f32_avx2";

MeasuredTable table() {
  MeasuredTable out{"t.json", std::string(kBuild), kMachine, {{std::string(kKernel), 1}}, {}};
  out.problems.push_back(
      {"linear/w4a16/n64/k64", {{1, {{std::string(kKernel), 12.25}}}, {8, {{std::string(kKernel), 30}}}}});
  out.problems.push_back({"linear/bf16/n64/k64", {{1, {}}}});
  return out;
}
// The JSON with one text in place of another.
std::string changed(std::string_view from, std::string_view to) {
  std::string json = measured_table_json(table());
  const std::size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return json.replace(at, from.size(), to);
}
std::string error_of(const std::string& json) {
  const auto parsed = parse_measured_table(json, "t.json");
  return parsed ? "" : parsed.error().to_string();
}
std::string check(const MeasuredTable& measured, const Machine& machine = kMachine, std::string_view build = kBuild) {
  const Status status = check_measured_table(measured, machine, build);
  return status ? "" : status.error().to_string();
}

TEST(MeasuredTable, IsReadAsItWasWritten) {
  const auto parsed = parse_measured_table(measured_table_json(table()), "t.json");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(measured_table_json(*parsed), measured_table_json(table()));
  EXPECT_EQ(parsed->label, "t.json");
  ASSERT_NE(parsed->find("linear/w4a16/n64/k64"), nullptr);
  EXPECT_EQ(parsed->find("linear/w4a16/n64/k64")->tokens[0].kernels[0].us, 12.25);
  EXPECT_EQ(parsed->find("linear/w4a16/n64/k128"), nullptr);
  EXPECT_EQ(check(*parsed), "");
}
TEST(MeasuredTable, OfAGpuToo) {
  MeasuredTable gpu = table();
  gpu.machine = *find_machine("sm90");
  gpu.kernels = {{"linear_nvfp4_bf16_wgmma", 1}, {"moe_nvfp4_bf16_mma", 2}};
  gpu.problems = {{"linear/w4a16/n64/k64", {{1, {{"linear_nvfp4_bf16_wgmma", 5}}}}}};
  const auto parsed = parse_measured_table(measured_table_json(gpu), "t.json");
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(check(*parsed, *find_machine("sm90")), "");
  EXPECT_THAT(check(*parsed, *find_machine("sm120")),
              AllOf(HasSubstr("was measured on NVIDIA H200 (sm90), this is NVIDIA GeForce RTX 5090 (sm120)"),
                    HasSubstr("nvfp4 tune measures anew")));
}
TEST(MeasuredTable, OfAnotherMachineIsRefused) {
  Cpu cpu = std::get<Cpu>(kMachine);
  cpu.num_workers = 2;
  EXPECT_THAT(check(table(), cpu),
              HasSubstr("t.json: was measured on AMD EPYC 7763 (cpu-avx2, 64 workers), this is AMD "
                        "EPYC 7763 (cpu-avx2, 2 workers)"));
  Gpu gpu = std::get<Gpu>(*find_machine("sm90"));
  MeasuredTable measured = table();
  measured.machine = gpu;
  gpu.caps.num_sms = 114;
  EXPECT_THAT(check(measured, gpu), HasSubstr("this is another NVIDIA H200 (sm90)"));
}
TEST(MeasuredTable, OfAnotherBuildIsRefused) {
  EXPECT_THAT(check(table(), kMachine, "0.2.0 GNU 12.2"),
              HasSubstr("was measured by build 0.1.0 GNU 12.2, this is 0.2.0 GNU 12.2"));
}
TEST(MeasuredTable, OfAnotherVersionOfAKernelIsRefused) {
  EXPECT_EQ(kernel_version(kKernel), 1U);
  EXPECT_EQ(kernel_version("moe_nvfp4_bf16_wgmma"), 1U);
  EXPECT_EQ(kernel_version("linear_x"), 0U);
  MeasuredTable measured = table();
  measured.kernels[0].version = 2;
  EXPECT_THAT(check(measured), HasSubstr("has version 2 of kernel linear_nvfp4_f32_avx2, this build has version 1"));
  measured.kernels[0].kernel = "linear_x";
  EXPECT_THAT(check(measured), HasSubstr("has kernel linear_x, which this build has not"));
}
TEST(MeasuredTable, WhatIsMalformedIsNamed) {
  EXPECT_THAT(error_of("{"), HasSubstr("t.json"));
  EXPECT_THAT(error_of("{}"), HasSubstr("t.json: table: is missing"));
  EXPECT_THAT(error_of(changed("\"table\": 1", "\"table\": 2")),
              HasSubstr("t.json: table: is 2; this program reads 1"));
  EXPECT_THAT(error_of(changed("\"build\"", "\"biuld\"")), HasSubstr("biuld: is no key of a table"));
  EXPECT_THAT(error_of(changed("\"avx2\"", "\"avx3\"")), HasSubstr("\"avx3\" is no instruction set"));
  EXPECT_THAT(error_of(changed("avx2\": 1", "avx2\": 0")), HasSubstr("kernels: linear_nvfp4_f32_avx2"));
  EXPECT_THAT(error_of(changed("\"num_tokens\": 8", "\"num_tokens\": 1")),
              HasSubstr("problems[0].tokens[1].num_tokens: is 1 after 1; numbers of tokens must rise"));
  EXPECT_THAT(error_of(changed("\"num_tokens\": 1", "\"num_tokens\": 0")), HasSubstr("num_tokens"));
  EXPECT_THAT(error_of(changed("12.25", "-1")), HasSubstr("must be a number of microseconds above 0"));
  EXPECT_THAT(error_of(changed("12.25", "\"fast\"")), HasSubstr("must be a number of microseconds above 0"));
  EXPECT_THAT(error_of(changed("{\"linear_nvfp4_f32_avx2\": 12.25", "{\"linear_x\": 12.25")),
              HasSubstr("us: linear_x: is not among the kernels of the table"));
  EXPECT_THAT(error_of(changed("linear/bf16/n64/k64", "linear/w4a16/n64/k64")),
              HasSubstr("problems[1].problem: \"linear/w4a16/n64/k64\" comes twice"));
  EXPECT_THAT(error_of(changed("[\n      {\"num_tokens\": 1, \"us\": {}}]", "[]")),
              HasSubstr("problems[1].tokens: is empty"));
}
TEST(MeasuredTable, ProblemsAreNamedAfterWhatIsMeasured) {
  const Layer tied = *parse_layer("1 lm_head linear/bf16/n64/k64/tied", "t");
  EXPECT_EQ(measured_problem(tied, tied, ""), "linear/bf16/n64/k64");
  const Layer experts = *parse_layer("1 mlp.experts moe/w4a16/silu/h64/i64/e8/k2", "t");
  EXPECT_EQ(measured_problem(experts, experts, ""), "moe/w4a16/silu/h64/i64/e8/k2");
  EXPECT_EQ(measured_problem(experts, experts, "down_proj"), "moe/w4a16/silu/h64/i64/e8/k2 down_proj");
  EXPECT_EQ(measured_problem(experts, experts, "gate_proj"), measured_problem(experts, experts, "up_proj"));
  Layer whole = experts;
  whole.num_experts = 32;
  EXPECT_EQ(measured_problem(experts, whole, ""), "moe/w4a16/silu/h64/i64/e8/k2 of 32 experts");
  EXPECT_EQ(measured_problem(experts, whole, "up_proj"), "moe/w4a16/silu/h64/i64/e8/k2 of 32 experts up_proj");
}

}  // namespace
}  // namespace nvfp4::plan
