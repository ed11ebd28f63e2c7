#include "plan/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/machine_file.h"

namespace nvfp4::plan {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view json) {
  const auto machine = parse_machine(json, "m.json");
  return machine ? "" : machine.error().to_string();
}

TEST(Machine, KnownOnesByKeyAndCard) {
  for (const std::string_view name : {"sm80", "a100", "sm90", "h200", "sm121", "gb10"}) {
    EXPECT_TRUE(find_machine(name)) << name;
  }
  for (const InstructionSet set : kInstructionSets) {
    const auto machine = find_machine("cpu-" + std::string(instruction_set_name(set)));
    ASSERT_TRUE(machine);
    EXPECT_EQ(std::get<Cpu>(*machine).instruction_set, set);
    EXPECT_GT(std::get<Cpu>(*machine).f32_gflops, 0);
    EXPECT_GT(std::get<Cpu>(*machine).memory_gb_per_s, 0);
  }
}

TEST(Machine, AnUnknownNameSuggestsTheNearest) {
  EXPECT_THAT(find_machine("sm9O").error().to_string(), HasSubstr("did you mean \"sm90\"?"));
  EXPECT_THAT(find_machine("cpu-avx51").error().to_string(), HasSubstr("did you mean \"cpu-avx512\"?"));
  EXPECT_THAT(find_machine("toaster").error().to_string(), HasSubstr("there are cpu, cuda, sm80"));
}

TEST(Machine, OneThatIsHereHasTheFiguresOfItsKind) {
  const Cpu all = cpu_of("mine", InstructionSet::kAvx512Vbmi, 64);
  const Cpu one = cpu_of("mine", InstructionSet::kAvx512Vbmi, 1);
  EXPECT_EQ(all.name, "mine");
  EXPECT_DOUBLE_EQ(one.f32_gflops * 64, all.f32_gflops);
  EXPECT_LT(one.memory_gb_per_s, all.memory_gb_per_s);
}

TEST(MachineFile, WhatIsPrintedIsRead) {
  for (const std::string_view name : {"sm80", "sm86", "sm89", "sm90", "sm120", "sm121", "cpu-portable", "cpu-avx512"}) {
    const Machine machine = *find_machine(name);
    const std::string json = machine_json(machine);
    const auto again = parse_machine(json, "m.json");
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(machine_json(*again), json);
  }
}

TEST(MachineFile, NamesMayHoldAnything) {
  Gpu gpu = std::get<Gpu>(*find_machine("sm90"));
  gpu.caps.name = "a \"quoted\" \\ name";
  const auto again = parse_machine(machine_json(gpu), "m.json");
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(std::get<Gpu>(*again).caps.name, gpu.caps.name);
}

TEST(MachineFile, WhatItDoesNotSayIsTheKnownCards) {
  const auto machine =
      parse_machine(R"({"sm": 90, "num_sms": 114, "name": "H100 PCIe", "memory_gb_per_s": 2000})", "m.json");
  ASSERT_TRUE(machine) << machine.error().to_string();
  const Gpu& gpu = std::get<Gpu>(*machine);
  EXPECT_EQ(gpu.caps.num_sms, 114U);
  EXPECT_EQ(gpu.caps.shared_bytes_per_block, 232448U);
  EXPECT_EQ(gpu.rates.memory_gb_per_s, 2000);
  EXPECT_EQ(gpu.rates.bf16_tflops, 989);
}

TEST(MachineFile, ErrorsNameTheKey) {
  EXPECT_THAT(error_of(R"({"sm": 90, "num_sm": 114})"),
              HasSubstr("m.json: num_sm: is no key of a machine; did you mean \"num_sms\"?"));
  EXPECT_THAT(error_of(R"({"num_sms": 4})"), HasSubstr("m.json: sm: is missing"));
  EXPECT_THAT(error_of(R"({"sm": 75})"), HasSubstr("m.json: num_sms: must be above zero"));
  EXPECT_THAT(error_of(R"({"sm": 90, "num_sms": 4097})"), HasSubstr("num_sms: is more than 4096"));
  EXPECT_THAT(error_of(R"({"sm": 90, "shared_bytes_per_sm": 16777217})"), HasSubstr("more than 16 MiB"));
  EXPECT_THAT(error_of(R"({"sm": "hopper"})"), HasSubstr("m.json: sm"));
  EXPECT_THAT(error_of(R"({"sm": 90, "bf16_tflops": -1})"), HasSubstr("m.json: bf16_tflops: must be a number"));
  EXPECT_THAT(error_of(R"({"sm": 90, "shared_bytes_per_block": 500000})"), HasSubstr("more than a multiprocessor has"));
  EXPECT_THAT(error_of(R"({"instruction_set": "avx51"})"), HasSubstr("did you mean \"avx512\"?"));
  EXPECT_THAT(error_of(R"({"instruction_set": "avx2", "num_workers": 0})"),
              HasSubstr("num_workers: must be above zero"));
  EXPECT_THAT(error_of("[]"), HasSubstr("m.json"));
}

}  // namespace
}  // namespace nvfp4::plan
