// What the sub-commands of `nvfp4` share. Exit codes: 0 done, 1 failed or found something, 2 bad input or usage,
// 130 stopped by Ctrl-C.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "nvfp4/checkpoint.h"
#include "nvfp4/result.h"

namespace CLI {
class App;
}

namespace nvfp4::apps {

inline constexpr int kDone = 0;
inline constexpr int kFindings = 1;
inline constexpr int kBadInput = 2;
inline constexpr int kInterrupted = 130;

// A sub-command: its parser, and what to run when it was chosen. The function returns the exit code.
struct Command {
  CLI::App* parser = nullptr;
  std::function<int()> run;
};

Command add_inspect_command(CLI::App& app);
Command add_dequantize_command(CLI::App& app);
Command add_check_command(CLI::App& app);
Command add_run_command(CLI::App& app);
Command add_logits_command(CLI::App& app);
Command add_tokenize_command(CLI::App& app);
Command add_eval_command(CLI::App& app);
Command add_bench_command(CLI::App& app);
Command add_plan_command(CLI::App& app);
Command add_devices_command(CLI::App& app);
Command add_selftest_command(CLI::App& app);
Command add_tune_command(CLI::App& app);

// Prints "error: ..." as one line on stderr and returns kBadInput.
int report(const Error& error);

// Standard output could not be written, for the reason `error_number`. Says so, unless its reader has just gone away;
// returns kFindings.
int report_lost_output(int error_number);

// DIR argument -> checkpoint directory: a path, or a Hugging Face id in the local cache ($HF_HUB_CACHE, $HF_HOME/hub,
// ~/.cache/huggingface/hub).
Result<std::filesystem::path> model_directory(const std::string& directory_or_id);

// The Error for a NAME that no weight has; names the nearest one.
Error no_such_weight(const Checkpoint& checkpoint, const std::filesystem::path& directory, const std::string& name);

// Control characters of untrusted names made visible, so that a name cannot drive the terminal.
std::string printable(std::string_view text);

// "17.3 GB", "512 B": decimal units.
std::string human_bytes(double bytes);

}  // namespace nvfp4::apps
