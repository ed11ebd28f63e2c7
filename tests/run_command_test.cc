// `nvfp4 run` as people and programs use it, without a terminal.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "support/byte_model.h"
#include "support/fixtures.h"
#include "support/npy_file.h"
#include "support/nvfp4_command.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using support::Arguments;
using support::bytes_of;
using support::expect_refusal;
using support::joined;
using support::json_of;
using support::run_nvfp4;
using support::RunResult;
using Ids = std::vector<int>;

class RunCommand : public testing::Test {
 protected:
  [[nodiscard]] RunResult run(const Arguments& more, const fs::path& input = "/dev/null") const {
    return run_nvfp4(joined({"run", model_.path()}, more), input);
  }
  // A long answer that varies.
  [[nodiscard]] static Arguments sampled(const std::string& seed) {
    return {"--prompt", "hello", "--temperature", "1", "--seed", seed, "--max-tokens", "40", "--ignore-eos", "-q"};
  }

  support::ByteModel model_{"modelopt_w4a4_qwen3_moe"};
};

TEST_F(RunCommand, StreamsToStdoutAndTalksOnStderr) {
  const Arguments prompt = {"--prompt", "hello you", "--max-tokens", "12", "--ignore-eos"};
  const RunResult plain = run(prompt);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  const auto json = json_of(run(joined(prompt, {"--json", "--quiet"})));
  EXPECT_EQ(plain.out, json["text"].get<std::string>() + "\n");
  // The processor, the plan's title, head, a line per kind of layer and sums, then the summary; nothing of a progress
  // bar.
  const auto num_lines = static_cast<std::size_t>(std::count(plain.err.begin(), plain.err.end(), '\n'));
  EXPECT_EQ(num_lines, 1 + 2 + json["kernels"].size() + 1 + 1) << plain.err;
  EXPECT_TRUE(plain.err.starts_with("CPU: ")) << plain.err;
  EXPECT_NE(plain.err.find("\nlayer "), std::string::npos) << plain.err;
  EXPECT_NE(plain.err.find("9 prompt tokens, "), std::string::npos) << plain.err;
  EXPECT_NE(plain.err.find("12 answer tokens, "), std::string::npos) << plain.err;
  EXPECT_TRUE(plain.err.ends_with("ended by length\n")) << plain.err;
  EXPECT_EQ(plain.err.find('\x1b'), std::string::npos);
  const RunResult quiet = run(joined(prompt, {"-q"}));
  EXPECT_EQ(quiet.err, "");
  EXPECT_EQ(quiet.out, plain.out);
}

TEST_F(RunCommand, JsonHasWhatIsPromised) {
  const auto json = json_of(run({"--prompt", "hello", "--max-tokens", "5", "--ignore-eos", "--json", "-q"}));
  EXPECT_EQ(json["prompt_tokens"], bytes_of("hello"));
  EXPECT_EQ(json["tokens"].size(), 5U);
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_EQ(json["model"], model_.path());
  EXPECT_EQ(json["architecture"], "Qwen3MoeForCausalLM");
  EXPECT_FALSE(json.contains("logprobs"));
  for (const char* key : {"ttft_ms", "total_ms", "prompt_tokens_per_second", "output_tokens_per_second"}) {
    EXPECT_GT(json["timings"][key].get<double>(), 0) << key;
  }
  EXPECT_GE(json["timings"]["total_ms"].get<double>(), json["timings"]["ttft_ms"].get<double>());
  std::set<std::string> schemes;
  for (const auto& line : json["kernels"]) {
    for (const char* key : {"layer_kind", "scheme", "kernel", "reason"}) {
      EXPECT_NE(line[key].get<std::string>(), "") << line;
    }
    EXPECT_TRUE(line["num_weights"].is_number_unsigned() && line["num_bytes"].is_number_unsigned()) << line;
    schemes.insert(line["scheme"].get<std::string>());
  }
  EXPECT_TRUE(schemes.contains("nvfp4_w4a4"));
  EXPECT_GT(json["selftest"]["num_tests"], 1);
  EXPECT_TRUE(json["selftest"]["refused"].empty());
}

// Each set runs, is what the answer says it is, and answers as the portable one does; or it is refused by name.
TEST_F(RunCommand, InstructionSetsAreChosenOrRefused) {
  const Arguments prompt = {"--prompt", "hello", "--max-tokens", "5", "--ignore-eos", "--precision", "f32"};
  const auto with = [&](const std::string& set, const Arguments& more) {
    return run(joined(joined(prompt, {"--instruction-set", set}), more));
  };
  const auto portable = json_of(with("portable", {"--json", "-q"}));
  for (const InstructionSet set : kInstructionSets) {
    const std::string name(instruction_set_name(set));
    if (!runs_here(set)) {
      expect_refusal(with(name, {}), {"--instruction-set", name, "portable"});
      continue;
    }
    const auto json = json_of(with(name, {"--json", "-q", "--threads", "2"}));
    EXPECT_EQ(json["cpu"]["instruction_set"], name);
    EXPECT_EQ(json["cpu"]["threads"], 2);
    EXPECT_TRUE(json["cpu"]["large_pages"].is_boolean());
    const auto& here = json["cpu"]["instruction_sets_here"];
    EXPECT_NE(std::find(here.begin(), here.end(), name), here.end()) << here;
    EXPECT_EQ(json["tokens"], portable["tokens"]) << name;
  }
  const auto fastest = json_of(with("auto", {"--json", "-q"}));
  EXPECT_EQ(fastest["cpu"]["instruction_set"], instruction_set_name(best_instruction_set()));
  const RunResult told = with("portable", {"--threads", "1"});
  EXPECT_TRUE(told.err.starts_with("CPU: portable (")) << told.err;
  EXPECT_NE(told.err.find(", 1 thread, 2 MB pages: "), std::string::npos) << told.err;
}

TEST_F(RunCommand, PromptsComeFromFlagsFilesAndStandardInput) {
  support::TemporaryDirectory folder;
  const std::string text = "a prompt\nof two lines \xE2\x82\xAC\n";
  const fs::path file = folder.write("prompt.txt", text);
  const Arguments rest = {"--max-tokens", "8", "--json", "-q"};
  const auto by_flag = json_of(run(joined({"--prompt", text}, rest)));
  EXPECT_EQ(by_flag["prompt_tokens"], bytes_of(text));
  const std::string ids = fmt::format("{}", fmt::join(bytes_of(text), ","));
  const auto answer = [&](const Arguments& how, const fs::path& input) {
    auto json = json_of(run(joined(how, rest), input));
    json.erase("timings");
    json.erase("selftest");  // has a time
    return json;
  };
  auto expected = by_flag;
  expected.erase("timings");
  expected.erase("selftest");
  EXPECT_EQ(answer({"--prompt-file", file.string()}, "/dev/null"), expected);
  EXPECT_EQ(answer({"--prompt-file", "-"}, file), expected);
  EXPECT_EQ(answer({}, file), expected);
  EXPECT_EQ(answer({"--prompt-tokens", ids}, "/dev/null"), expected);
}

TEST_F(RunCommand, PromptsThatLookLikeSyntaxAreText) {
  for (const std::string text : {"[a,b]", "{}", "- x", "--quiet", "%s {0}", "\"", "\\n"}) {
    const auto json = json_of(run({"--prompt", text, "--max-tokens", "1", "--json", "-q"}));
    EXPECT_EQ(json["prompt_tokens"], bytes_of(text)) << text;
  }
}

TEST_F(RunCommand, PromptFormatGoesAroundThePrompt) {
  const auto json = json_of(run({"--prompt", "a{prompt}b", "--prompt-format",
                                 "<|begin|>Q: {prompt}<|end|>\nA:", "--max-tokens", "1", "--json", "-q"}));
  Ids expected = {0xC0};
  for (const int byte : bytes_of("Q: a{prompt}b")) expected.push_back(byte);
  expected.push_back(0xC1);
  for (const int byte : bytes_of("\nA:")) expected.push_back(byte);
  EXPECT_EQ(json["prompt_tokens"], expected);
  expect_refusal(run({"--prompt", "x", "--prompt-format", "no place"}), {"--prompt-format", "{prompt}", "no place"});
}

TEST_F(RunCommand, SameSeedSameText) {
  const RunResult first = run(sampled("7"));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(run(sampled("7")).out, first.out);
  EXPECT_EQ(run(joined(sampled("7"), {"--threads", "1"})).out, first.out);
  EXPECT_EQ(run(joined(sampled("7"), {"--threads", "3"})).out, first.out);
  EXPECT_NE(run(sampled("8")).out, first.out);
  EXPECT_NE(run(sampled("18446744073709551615")).out, first.out);
}

TEST_F(RunCommand, TheAnswerEndsBeforeAStopString) {
  const RunResult whole = run(sampled("7"));
  const std::string text = whole.out.substr(0, whole.out.size() - 1);
  ASSERT_GT(text.size(), 20U);
  // Whole characters: a stop string must be valid UTF-8 like the text.
  std::size_t at = text.size() / 2;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  std::size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  const std::string stop = text.substr(at, end - at);
  const auto json = json_of(run(joined(sampled("7"), {"--json", "--stop", "never here", "--stop", stop})));
  EXPECT_EQ(json["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(json["finish_reason"], "stop");
  EXPECT_LT(json["tokens"].size(), 40U);
  // A flag takes one value: what follows is the model, and brackets are text.
  const RunResult before = run_nvfp4(joined({"run", "--stop", "[a,b]", model_.path()}, sampled("7")));
  EXPECT_EQ(before.out, whole.out) << before.err;
}

TEST_F(RunCommand, EveryEndOfTextTokenEndsTheAnswer) {
  const Arguments prompt = {"--prompt", "hello", "--max-tokens", "30", "--json", "-q"};
  const auto whole = json_of(run(joined(prompt, {"--ignore-eos"})));
  const auto tokens = whole["tokens"].get<Ids>();
  ASSERT_EQ(tokens.size(), 30U);
  const auto ends_at = [&](const nlohmann::json& eos, int token) {
    model_.change("generation_config.json", {{"eos_token_id", eos}});
    const auto json = json_of(run(prompt));
    EXPECT_EQ(json["finish_reason"], "stop");
    const auto first = std::find(tokens.begin(), tokens.end(), token);
    EXPECT_EQ(json["tokens"].get<Ids>(), Ids(tokens.begin(), first + 1));
    EXPECT_EQ(json_of(run(joined(prompt, {"--ignore-eos"})))["tokens"], whole["tokens"]);
  };
  ends_at(tokens[4], tokens[4]);
  ends_at({250, tokens[2]}, tokens[2]);
  ends_at({tokens[6], 250}, tokens[6]);
}

TEST_F(RunCommand, FlagsOutrankTheGenerationConfig) {
  model_.change("generation_config.json",
                {{"do_sample", true}, {"temperature", 1.5}, {"max_new_tokens", 3}, {"eos_token_id", nullptr}});
  model_.change("config.json", {{"eos_token_id", nullptr}});
  const Arguments prompt = {"--prompt", "hello", "--json", "-q", "--seed", "1"};
  const auto as_config = json_of(run(prompt));
  EXPECT_EQ(as_config["tokens"].size(), 3U);
  const auto as_flags = json_of(run(joined(prompt, {"--temperature", "0", "--max-tokens", "6"})));
  EXPECT_EQ(as_flags["tokens"].size(), 6U);
  model_.remove("generation_config.json");
  EXPECT_EQ(json_of(run(joined(prompt, {"--max-tokens", "6"})))["tokens"], as_flags["tokens"]);
}

TEST_F(RunCommand, LogprobsAreThoseOfTheModel) {
  constexpr std::size_t kTop = 5;
  const auto json = json_of(run({"--prompt", "hello", "--max-tokens", "4", "--ignore-eos", "--logprobs",
                                 fmt::format("{}", kTop), "--temperature", "1", "--seed", "3", "--json", "-q"}));
  Ids sequence = json["prompt_tokens"];
  const Ids answer = json["tokens"];
  sequence.insert(sequence.end(), answer.begin(), answer.end());
  const std::string out = model_.file("logits.npy");
  const RunResult logits_run =
      run_nvfp4({"logits", model_.path(), "--tokens", fmt::format("{}", fmt::join(sequence, ",")), "--out", out, "-q"});
  ASSERT_EQ(logits_run.exit_code, 0) << logits_run.err;
  const auto logits = support::read_npy<float>(out);
  ASSERT_EQ(json["logprobs"].size(), answer.size());
  for (std::size_t i = 0; i < answer.size(); ++i) {
    const float* const row = logits.values.data() + (bytes_of("hello").size() - 1 + i) * logits.shape[1];
    double sum = 0;
    for (std::size_t v = 0; v < logits.shape[1]; ++v) sum += std::exp(double{row[v]});
    const auto& entry = json["logprobs"][i];
    EXPECT_EQ(entry["token"], answer[i]);
    // Computed in FP64 here; there a float of at most 32 leaves with a relative error of 2^-24.
    EXPECT_NEAR(entry["logprob"].get<double>(), row[answer[i]] - std::log(sum), 1e-5);
    std::vector<float> sorted(row, row + logits.shape[1]);
    std::partial_sort(sorted.begin(), sorted.begin() + kTop, sorted.end(), std::greater<>());
    ASSERT_EQ(entry["top"].size(), kTop);
    for (std::size_t k = 0; k < kTop; ++k) {
      EXPECT_NEAR(entry["top"][k]["logprob"].get<double>(), sorted[k] - std::log(sum), 1e-5);
      EXPECT_EQ(row[entry["top"][k]["token"].get<int>()], sorted[k]);
    }
  }
}

TEST_F(RunCommand, SpecialTokensAreShownOnRequest) {
  model_.change("generation_config.json", {{"eos_token_id", nullptr}});
  model_.change("config.json", {{"eos_token_id", nullptr}});
  // Whatever the model says next is made a special token.
  const Arguments prompt = {"--prompt", "hello", "--max-tokens", "1", "--json", "-q"};
  const int next = json_of(run(prompt))["tokens"][0].get<int>();
  auto tokenizer = support::byte_tokenizer();
  tokenizer["model"]["vocab"].erase(support::byte_spelling(next));
  tokenizer["model"]["vocab"]["<|made|>"] = next;
  tokenizer["added_tokens"].push_back(
      {{"id", next}, {"content", "<|made|>"}, {"special", true}, {"normalized", false}});
  model_.write("tokenizer.json", tokenizer);
  EXPECT_EQ(json_of(run(prompt))["text"], "");
  EXPECT_EQ(json_of(run(joined(prompt, {"--keep-special-tokens"})))["text"], "<|made|>");
}

TEST_F(RunCommand, LengthsThatDoNotFitAreRefusedWithBothNumbers) {
  const RunResult full = run({"--prompt", std::string(512, 'a'), "--json", "-q", "--ignore-eos"});
  EXPECT_EQ(json_of(full)["tokens"].size(), 1U);
  expect_refusal(run({"--prompt", std::string(513, 'a')}), {"513", "512"});
  model_.change("config.json", {{"max_position_embeddings", 4096}});
  expect_refusal(run({"--prompt", std::string(3000, 'a'), "--kv-cache-gib", "0.001"}), {"3000", "cache", "memory"});
}

TEST_F(RunCommand, BadPromptsAreRefusedInOneLine) {
  expect_refusal(run({"--prompt", ""}), {"prompt", "no tokens"});
  expect_refusal(run({"--prompt", "abc\xFFz"}), {"UTF-8", "byte 3", "0xff"});
  expect_refusal(run({"--prompt", "a\xED\xA0\x80"}), {"UTF-8", "byte 1"});
  expect_refusal(run({"--prompt-file", "/nonexistent/prompt"}), {"/nonexistent/prompt", "No such file"});
  expect_refusal(run({"--prompt-file", "/"}), {"/", "directory"});
  expect_refusal(run({"--prompt-tokens", "1,256"}), {"[1]", "256"});
  expect_refusal(run({"--prompt-tokens", "1,x"}), {"--prompt-tokens[1]", "\"x\""});
  expect_refusal(run({"--prompt-tokens", ""}), {"no tokens"});
  expect_refusal(run({"--prompt", "a", "--prompt-file", "b"}), {"--prompt", "--prompt-file"});
}

TEST_F(RunCommand, FlagsOutOfRangeAreRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"--max-tokens", "0"},
      {"--max-tokens", "-1"},
      {"--max-tokens", "4294967296"},
      {"--max-tokens", "1.5"},
      {"--temperature", "-0.1"},
      {"--temperature", "nan"},
      {"--temperature", "warm"},
      {"--temperature", "1e60"},
      {"--top-k", "-1"},
      {"--top-p", "1.01"},
      {"--min-p", "-1"},
      {"--repetition-penalty", "0"},
      {"--presence-penalty", "2.1"},
      {"--frequency-penalty", "x"},
      {"--seed", "-3"},
      {"--logprobs", "129"},
      {"--kv-cache-gib", "0"},
      {"--threads", "1025"},
      {"--threads", "-1"},
      {"--precision", "fp16"},
      {"--kv-cache-dtype", "int8"},
      {"--activations", "w8a8"},
      {"--instruction-set", "mmx"},
  };
  for (const auto& [flag, value] : cases) {
    expect_refusal(run({"--prompt", "x", flag, value}), {"nvfp4 run", flag, value, "nvfp4 run --help"});
  }
}

// Starts the command with `out` as its standard output; its errors go to a file.
pid_t start(Arguments command, int out, bool ignore_sigpipe, const std::string& errors) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  if (ignore_sigpipe) std::signal(SIGPIPE, SIG_IGN);
  ::dup2(out, 1);
  ::dup2(::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
  std::vector<char*> argv;
  for (std::string& argument : command) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_F(RunCommand, AFullDiskIsAnError) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  for (const Arguments& format : {Arguments{}, Arguments{"--json"}}) {
    const Arguments command = joined({NVFP4_COMMAND, "run", model_.path(), "--prompt", "x", "-q"}, format);
    EXPECT_EQ(wait_for(start(command, full, false, model_.file("errors"))), 1);
    const std::string errors = support::read_file(model_.file("errors"));
    EXPECT_TRUE(errors.starts_with("error: standard output: cannot be written: ")) << errors;
    EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1) << errors;
  }
  ::close(full);
}

// As in `| head -c 1`. Whether SIGPIPE is ignored depends on who started the command.
TEST_F(RunCommand, EndsQuietlyWhenItsReaderGoes) {
  for (const bool ignore_sigpipe : {false, true}) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = start({NVFP4_COMMAND, "run", model_.path(), "--prompt", "x", "--temperature", "1",
                               "--ignore-eos", "--max-tokens", "500", "-q"},
                              ends[1], ignore_sigpipe, model_.file("errors"));
    ::close(ends[1]);
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
    ::close(ends[0]);
    EXPECT_EQ(wait_for(child), ignore_sigpipe ? 1 : 128 + SIGPIPE);
    EXPECT_EQ(support::read_file(model_.file("errors")), "");
  }
}

class GreedyRun : public testing::TestWithParam<std::string> {};

// Without a tokenizer: token ids in, token ids out.
TEST_P(GreedyRun, IsThatOfTransformers) {
  const fs::path model = support::kParity / GetParam();
  const auto tokens = support::read_npy<std::int32_t>(model / "tokens.npy").values;
  const auto golden = support::read_npy<std::int32_t>(model / "greedy.npy").values;
  const std::string prompt = fmt::format("{}", fmt::join(tokens.begin(), tokens.begin() + 65, ","));
  const Arguments exact = {"run",
                           model.string(),
                           "--prompt-tokens",
                           prompt,
                           "--precision",
                           "f32",
                           "--kv-cache-dtype",
                           "f32",
                           "--activations",
                           "w4a16",
                           "--max-tokens",
                           fmt::format("{}", golden.size()),
                           "--ignore-eos",
                           "-q"};
  const auto json = json_of(run_nvfp4(joined(exact, {"--json"})));
  EXPECT_EQ(json["tokens"].get<std::vector<std::int32_t>>(), golden);
  EXPECT_EQ(json["prompt_tokens"].size(), 65U);
  EXPECT_EQ(run_nvfp4(exact).out, fmt::format("{}\n", fmt::join(golden, " ")));
}

std::vector<std::string> greedy_fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(support::kParity)) {
    if (fs::exists(entry.path() / "greedy.npy")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GreedyRun, testing::ValuesIn(greedy_fixtures()),
                         [](const auto& name) { return name.param; });

class DummyRun : public testing::Test {
 protected:
  [[nodiscard]] RunResult run(const Arguments& more) const {
    return run_nvfp4(joined({"run", "--dummy-weights", "--prompt-tokens", "1,2,3", "--max-tokens", "8", "-q",
                             "--temperature", "1", "--seed", "1"},
                            more));
  }
  support::ByteModel model_{"modelopt_w4a4_qwen3_moe"};  // for its configuration
};

TEST_F(DummyRun, SameSeedSameTokens) {
  const std::string config = model_.file("config.json");
  const RunResult first = run({"--config", config, "--dummy-seed", "5"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(run({"--config", config, "--dummy-seed", "5", "--threads", "1"}).out, first.out);
  EXPECT_NE(run({"--config", config, "--dummy-seed", "6"}).out, first.out);
  EXPECT_EQ(run({"--config", config}).out, run({"--config", config, "--dummy-seed", "0"}).out);
  const auto json = json_of(run({"--config", config, "--json"}));
  EXPECT_EQ(json["architecture"], "Qwen3MoeForCausalLM");
  EXPECT_EQ(json["tokens"].size(), 8U);
}

TEST_F(DummyRun, BadConfigurationsAreRefusedByField) {
  const std::string config = model_.file("config.json");
  expect_refusal(run({}), {"--config"});
  expect_refusal(run_nvfp4({"run", "--config", config, "--prompt-tokens", "1"}), {"--dummy-weights"});
  expect_refusal(run_nvfp4({"run"}), {"directory", "--dummy-weights", "--config"});
  expect_refusal(run({"--config", "/nonexistent/config.json"}), {"/nonexistent/config.json", "No such file"});
  expect_refusal(run({"--config", "/dev/null"}), {"/dev/null", "JSON"});
  expect_refusal(run({"--config", config, "--prompt-file", "/dev/null"}), {"--prompt-tokens", "--prompt-file"});
  expect_refusal(run_nvfp4({"run", "--dummy-weights", "--config", config, "--prompt", "x"}),
                 {"tokenizer", "token ids"});
  model_.change("config.json", {{"architectures", {"BertModel"}}});
  expect_refusal(run({"--config", config}), {config, "architectures", "BertModel", "Qwen3MoeForCausalLM"});
  model_.change("config.json", {{"architectures", {"Qwen3MoeForCausalLM"}}});
  for (const std::string field : {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
                                  "max_position_embeddings", "num_experts_per_tok", "moe_intermediate_size"}) {
    const auto whole = nlohmann::json::parse(support::read_file(config));
    model_.change("config.json", {{field, nullptr}});
    expect_refusal(run({"--config", config}), {config, field, "missing"});
    model_.write("config.json", whole);
  }
}

}  // namespace
}  // namespace nvfp4
