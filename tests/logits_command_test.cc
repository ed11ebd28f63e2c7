// `nvfp4 logits`: .npy files that are what Hugging Face transformers computes.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/fixtures.h"
#include "support/npy_file.h"
#include "support/nvfp4_command.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using support::Arguments;
using support::expect_refusal;
using support::joined;
using support::read_npy;
using support::run_nvfp4;
using support::RunResult;
using Array = support::NpyArray<float>;

std::string token_list(const fs::path& model) {
  return fmt::format("{}", fmt::join(read_npy<std::int32_t>(model / "tokens.npy").values, ","));
}

// The largest difference relative to the largest value.
double departure(std::span<const float> ours, std::span<const float> golden) {
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < golden.size(); ++i) {
    largest = std::max(largest, std::fabs(double{golden[i]}));
    const double here = std::fabs(double{ours[i]} - golden[i]);
    difference = std::isnan(here) ? INFINITY : std::max(difference, here);
  }
  return difference / largest;
}

class Logits : public testing::TestWithParam<std::string> {};

TEST_P(Logits, AreThoseOfTransformers) {
  const support::TemporaryDirectory folder;
  const fs::path model = support::kParity / GetParam();
  const fs::path out = folder.path() / "x.npy";
  const RunResult result =
      run_nvfp4({"logits", model.string(), "--tokens", token_list(model), "--out", out.string(), "--all-layers",
                 "--precision", "f32", "--activations", "w4a16", "--kv-cache-dtype", "f32"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("CPU: ")) << result.err;
  const char* const golden_name = fs::exists(model / "logits_f32.npy") ? "logits_f32.npy" : "logits_w4a16.npy";
  const Array golden = read_npy<float>(model / golden_name);
  const Array logits = read_npy<float>(out);
  ASSERT_EQ(logits.shape, golden.shape);
  EXPECT_LE(departure(logits.values, golden.values), 1e-4);

  // transformers' hidden states are of the first tokens only.
  const Array golden_hidden = read_npy<float>(model / "hidden.npy");
  const Array hidden = read_npy<float>(folder.path() / "x.hidden.npy");
  ASSERT_EQ(hidden.shape.size(), 3U);
  ASSERT_EQ(hidden.shape[0], golden_hidden.shape[0]);
  ASSERT_EQ(hidden.shape[1], logits.shape[0]);
  ASSERT_EQ(hidden.shape[2], golden_hidden.shape[2]);
  const std::size_t golden_size = golden_hidden.shape[1] * golden_hidden.shape[2];
  for (std::size_t depth = 0; depth < hidden.shape[0]; ++depth) {
    const std::span<const float> ours(hidden.values.data() + depth * hidden.shape[1] * hidden.shape[2], golden_size);
    const std::span<const float> theirs(golden_hidden.values.data() + depth * golden_size, golden_size);
    EXPECT_LE(departure(ours, theirs), 1e-4) << "depth " << depth;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2) << "no partial files are left";
}

// The checkpoint asks for keys and values in FP8, and "auto" does as it asks.
TEST(LogitsOfACheckpoint, UseItsKeyValueCache) {
  const support::TemporaryDirectory folder;
  const fs::path model = support::kParity / "modelopt_w4a4_qwen3_moe";
  const std::string out = (folder.path() / "x.npy").string();
  const RunResult result = run_nvfp4({"logits", model.string(), "--tokens", token_list(model), "--out", out,
                                      "--precision", "f32", "--activations", "w4a16", "-q"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Array golden = read_npy<float>(model / "logits_fp8_kv.npy");
  EXPECT_LE(departure(read_npy<float>(out).values, golden.values), 1e-4);
}

std::vector<std::string> every_model() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(support::kParity)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Logits, testing::ValuesIn(every_model()),
                         [](const auto& name) { return name.param; });

class LogitsCommand : public testing::Test {
 protected:
  [[nodiscard]] RunResult run(const std::string& tokens, const std::string& out, const Arguments& more = {}) const {
    return run_nvfp4(joined({"logits", kModel.string(), "--tokens", tokens, "--out", out}, more));
  }
  [[nodiscard]] std::string out() const { return (folder_.path() / "x.npy").string(); }

  const fs::path kModel = support::kParity / "plain_qwen3_moe";
  support::TemporaryDirectory folder_;
};

TEST_F(LogitsCommand, DoNotDependOnThreadsOrLaterTokens) {
  const std::string list = token_list(kModel);
  ASSERT_EQ(run(list, out(), {"-q"}).exit_code, 0);
  const Array all = read_npy<float>(out());
  ASSERT_EQ(run(list, out(), {"-q", "--threads", "1"}).exit_code, 0);
  EXPECT_EQ(read_npy<float>(out()).values, all.values);
  std::string first = list;
  for (int i = 0; i < 3; ++i) first.resize(first.rfind(','));
  const RunResult shorter = run(first, out(), {"-q"});
  EXPECT_EQ(shorter.err + shorter.out, "");
  const Array some = read_npy<float>(out());
  ASSERT_EQ(some.shape[0] + 3, all.shape[0]);
  EXPECT_TRUE(std::equal(some.values.begin(), some.values.end(), all.values.begin()));
}

TEST_F(LogitsCommand, TokensMayBeSpelledAsProgramsDo) {
  ASSERT_EQ(run("1,2,3", out(), {"-q"}).exit_code, 0);
  const std::string expected = support::read_file(out());
  for (const char* list : {"1 2 3", "[1, 2, 3]", " 1 ,2\n3\n", "[1,2,3]\n"}) {
    EXPECT_EQ(run(list, out(), {"-q"}).exit_code, 0) << list;
    EXPECT_EQ(support::read_file(out()), expected) << list;
  }
}

TEST_F(LogitsCommand, BadTokensAreRefused) {
  std::string too_many = "1";
  for (int i = 1; i < 513; ++i) too_many += ",1";
  expect_refusal(run("1,2,256", out()), {"[2]", "256"});
  expect_refusal(run(too_many, out()), {"513", "512"});
  expect_refusal(run("", out()), {"tokens", "at least one"});
  expect_refusal(run("1,,2", out()), {"--tokens[1]"});
  expect_refusal(run("1,2,", out()), {"--tokens[2]"});
  expect_refusal(run("1,-2", out()), {"--tokens[1]", "-2"});
  expect_refusal(run("1,4294967296", out()), {"--tokens[1]", "4294967296"});
  expect_refusal(run("1;2", out()), {"--tokens[0]", "1;2"});
  expect_refusal(run("1,\x1b[2J", out()), {"--tokens[1]", "\\x1b"});
  expect_refusal(run(std::string(100000, 'x'), out()), {"--tokens[0]", "xxx\"..."});
  expect_refusal(run_nvfp4({"logits", kModel.string(), "--out", out()}), {"--tokens"});
  expect_refusal(run_nvfp4({"logits", kModel.string(), "--tokens", "1"}), {"--out"});
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(LogitsCommand, UnwritableFilesAreRefusedAndNothingIsLeft) {
  const std::string nowhere = (folder_.path() / "no" / "x.npy").string();
  expect_refusal(run("1", nowhere), {nowhere, "No such file"});
  expect_refusal(run("1", folder_.path().string()), {folder_.path().string(), "not a regular file"});
  // The second file cannot be: the first is not left behind either.
  fs::create_directory(folder_.path() / "x.hidden.npy");
  expect_refusal(run("1", out(), {"--all-layers"}), {"x.hidden.npy", "not a regular file"});
  EXPECT_FALSE(fs::exists(out()));
  // A link, so that a mistake costs no device.
  fs::create_symlink("/dev/full", folder_.path() / "device.npy");
  expect_refusal(run("1", (folder_.path() / "device.npy").string()), {"device.npy", "not a regular file"});
  EXPECT_TRUE(fs::is_symlink(folder_.path() / "device.npy"));
}

}  // namespace
}  // namespace nvfp4
