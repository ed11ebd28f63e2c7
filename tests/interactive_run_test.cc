// `nvfp4 run` on a terminal: prompts, editing, history, Ctrl-C, Ctrl-D, the progress bar.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/byte_model.h"
#include "support/nvfp4_command.h"
#include "support/pseudo_terminal.h"

namespace nvfp4 {
namespace {

using support::Arguments;
using support::PseudoTerminal;

constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";
constexpr const char* kUp = "\x1b[A";
constexpr const char* kEnter = "\r";
constexpr const char* kPrompt = "> ";

testing::AssertionResult has(const std::string& text, const std::string& part) {
  return text.find(part) == std::string::npos ? testing::AssertionFailure() << part << " is not in " << text
                                              : testing::AssertionSuccess();
}

class InteractiveRun : public testing::Test {
 protected:
  [[nodiscard]] Arguments command(const Arguments& more) const {
    return support::joined({NVFP4_COMMAND, "run", model_.path(), "--threads", "1"}, more);
  }
  // The bytes of the prompt that was answered, by the --json of the answer.
  static std::vector<int> answered_prompt(PseudoTerminal& terminal) {
    const std::string shown = terminal.wait_for("\n}\r\n");
    const auto json = nlohmann::json::parse(shown.substr(std::min(shown.find('{'), shown.size())), nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << shown;
    return json.is_discarded() ? std::vector<int>() : json["prompt_tokens"].get<std::vector<int>>();
  }

  static bool becomes_raw(const PseudoTerminal& terminal) {
    for (int i = 0; i < 2000 && !terminal.is_raw(); ++i) ::usleep(5000);
    return terminal.is_raw();
  }

  support::ByteModel model_{"plain_qwen3_moe"};
};

TEST_F(InteractiveRun, AnswersLineByLine) {
  PseudoTerminal terminal(command({"--max-tokens", "4", "--ignore-eos"}));
  const std::string start = terminal.wait_for(kPrompt);
  EXPECT_TRUE(has(start, "Ctrl-D ends"));
  EXPECT_TRUE(has(start, "mlp.experts.gate_proj"));
  for (int i = 0; i < 2; ++i) {
    terminal.type(std::string("hello") + kEnter);
    EXPECT_TRUE(has(terminal.wait_for("ended by length\r\n"), "5 prompt tokens"));
    EXPECT_EQ(terminal.wait_for(kPrompt).find("mlp.experts"), std::string::npos) << "the table comes once";
  }
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.wait_for_end(), 0) << terminal.rest();
}

TEST_F(InteractiveRun, ArrowUpBringsLinesBack) {
  PseudoTerminal terminal(command({"--max-tokens", "1", "--json", "-q"}));
  terminal.wait_for(kPrompt);
  terminal.type(std::string("first") + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of("first"));
  terminal.wait_for(kPrompt);
  terminal.type(std::string("second") + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of("second"));
  terminal.wait_for(kPrompt);
  terminal.type(std::string(kUp) + kUp + "!" + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of("first!"));
  terminal.wait_for(kPrompt);
  terminal.type(std::string(kUp) + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of("first!"));
}

TEST_F(InteractiveRun, LinesAreUtf8WhateverTheLocale) {
  PseudoTerminal terminal(command({"--max-tokens", "1", "--json", "-q"}));
  terminal.wait_for(kPrompt);
  const std::string text = "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x99\x82";
  terminal.type(text + "x\x7F" + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of(text));
}

TEST_F(InteractiveRun, CtrlCStopsTheAnswerNotTheProgram) {
  model_.change("config.json", {{"max_position_embeddings", 4096}});  // an answer outlasts the wait
  PseudoTerminal terminal(command({"--ignore-eos", "--temperature", "1", "--max-tokens", "3000"}));
  terminal.wait_for(kPrompt);
  // Ctrl-C may come before the answer begins: a few tries catch one under way.
  bool stopped = false;
  for (int attempt = 0; attempt < 5 && !stopped; ++attempt) {
    terminal.type(std::string("go") + kEnter);
    terminal.wait_for("go\r\n");
    ::usleep(30000);
    terminal.type(kCtrlC);
    stopped = terminal.wait_for("ended by ").size() > 0 && terminal.wait_for("\r\n") == "Ctrl-C\r\n";
    ASSERT_NE(terminal.wait_for(kPrompt), "") << terminal.rest();
  }
  EXPECT_TRUE(stopped);
  terminal.type(std::string("again") + kEnter);
  EXPECT_NE(terminal.wait_for("5 prompt tokens"), "");
  terminal.wait_for(kPrompt);
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.wait_for_end(), 0);
}

// While an answer runs, the terminal collects lines: what is typed counts once the prompt is back.
TEST_F(InteractiveRun, KeysTypedDuringAnAnswerAreNotLost) {
  PseudoTerminal terminal(command({"--ignore-eos", "--max-tokens", "300", "-q"}));
  terminal.wait_for(kPrompt);
  terminal.type(std::string("go") + kEnter);
  terminal.wait_for("go\r\n");
  ::usleep(30000);
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.wait_for_end(), 0) << terminal.rest();
}

TEST_F(InteractiveRun, CtrlCAtThePromptGivesTheLineUp) {
  PseudoTerminal terminal(command({"--max-tokens", "1", "--json", "-q"}));
  terminal.wait_for(kPrompt);
  terminal.type(kCtrlC);
  EXPECT_NE(terminal.wait_for(std::string("\n") + kPrompt), "") << terminal.rest();
  terminal.type("discarded");
  terminal.wait_for("discarded");
  terminal.type(kCtrlC);
  EXPECT_NE(terminal.wait_for(std::string("\n") + kPrompt), "") << terminal.rest();
  terminal.type(std::string("kept") + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of("kept"));
  terminal.wait_for(kPrompt);
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.wait_for_end(), 0);
}

TEST_F(InteractiveRun, RefusedPromptsAndEmptyLinesDoNotEndIt) {
  model_.change("config.json", {{"max_position_embeddings", 16}});
  PseudoTerminal terminal(command({"--max-tokens", "1", "-q"}));
  terminal.wait_for(kPrompt);
  terminal.type(kEnter);
  terminal.wait_for(kPrompt);
  terminal.type(std::string(17, 'x') + kEnter);
  const std::string refusal = terminal.wait_for("shorten it\r\n");
  EXPECT_TRUE(has(refusal, "error: prompt: has 17 tokens"));
  EXPECT_NE(terminal.wait_for(kPrompt), "");
  terminal.type(kCtrlD);
  EXPECT_EQ(terminal.wait_for_end(), 0);
}

TEST_F(InteractiveRun, TakesTheTerminalBackAfterTheBackground) {
  PseudoTerminal terminal(command({"--max-tokens", "1", "--json", "-q"}));
  terminal.wait_for(kPrompt);
  ASSERT_TRUE(becomes_raw(terminal));
  terminal.type("half");
  terminal.wait_for("half");
  terminal.make_cooked();  // as a shell leaves it
  terminal.send(SIGCONT);
  EXPECT_NE(terminal.wait_for(std::string(kPrompt) + "half"), "");
  EXPECT_TRUE(becomes_raw(terminal));
  terminal.type(std::string(" and half") + kEnter);
  EXPECT_EQ(answered_prompt(terminal), support::bytes_of("half and half"));
}

TEST_F(InteractiveRun, EndsWhenTheTerminalIsGone) {
  PseudoTerminal terminal(command({"-q"}));
  terminal.wait_for(kPrompt);
  terminal.send(SIGHUP);
  EXPECT_EQ(terminal.wait_for_end(), 128 + SIGHUP);
}

TEST_F(InteractiveRun, LoadingShowsABarAndClearsIt) {
  PseudoTerminal terminal(command({"--prompt", "x", "--max-tokens", "1"}));
  EXPECT_EQ(terminal.wait_for_end(), 0);
  const std::string shown = terminal.rest();
  const std::size_t bar = shown.find("\r\x1b[32m");
  ASSERT_NE(bar, std::string::npos) << shown;
  EXPECT_TRUE(has(shown.substr(bar), " %  "));
  const std::size_t cleared = shown.find("\r\x1b[K", bar);
  EXPECT_LT(cleared, shown.find("embed_tokens"));

  PseudoTerminal quiet(command({"--prompt", "x", "--max-tokens", "1", "-q"}));
  EXPECT_EQ(quiet.wait_for_end(), 0);
  EXPECT_EQ(quiet.rest().find("\x1b"), std::string::npos);
}

// On a terminal, but with a prompt: Ctrl-C ends the program in the way shells know.
TEST_F(InteractiveRun, CtrlCEndsASingleAnswer) {
  PseudoTerminal terminal(command({"--prompt", "x", "--ignore-eos", "--temperature", "1"}));
  terminal.wait_for("lm_head");
  terminal.type(kCtrlC);
  EXPECT_EQ(terminal.wait_for_end(), 130);
  EXPECT_TRUE(has(terminal.rest(), "ended by Ctrl-C"));
}

}  // namespace
}  // namespace nvfp4
