// checkpoint_bench [--dir PLACE] [--keep] [--json] [--repeat N] [--strict]
// Opens and checks checkpoints that it makes itself, and prints each time beside that of a plain rival in the same run.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <simdjson.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/health.h"
#include "checkpoint/tensor_files.h"
#include "measurement.h"
#include "moe_checkpoint.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::bench {
namespace {

struct Options {
  std::filesystem::path directory = std::filesystem::temp_directory_path();
  bool keep = false;
  bool json = false;
  bool strict = false;
  int num_repeats = 11;
  std::string resident_mode;  // internal: this process only opens resident_directory and says how much it grew
  std::filesystem::path resident_directory;
};

// Removed at the end, unless kept.
class Workplace {
 public:
  static Result<Workplace> make(const std::filesystem::path& parent, bool keep) {
    std::string name = (parent / "checkpoint_bench.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      return Error{ErrorCode::kIo, name, "cannot be made: " + system_error_text(errno)};
    return Workplace(name, keep);
  }
  Workplace(Workplace&& other) noexcept : path_(std::move(other.path_)), keep_(std::exchange(other.keep_, true)) {}
  Workplace& operator=(Workplace&&) = delete;
  ~Workplace() {
    std::error_code ignored;
    if (!keep_) std::filesystem::remove_all(path_, ignored);
  }

  Result<std::filesystem::path> make_checkpoint(const char* name, const MoeCheckpoint& model) const {
    std::filesystem::path directory = path_ / name;
    std::error_code error;
    if (!std::filesystem::create_directory(directory, error))
      return Error{ErrorCode::kIo, directory.string(), error.message()};
    NVFP4_RETURN_IF_ERROR(write_moe_checkpoint(directory, model));
    return directory;
  }

 private:
  Workplace(std::filesystem::path path, bool keep) : path_(std::move(path)), keep_(keep) {}
  std::filesystem::path path_;
  bool keep_;
};

// Runs a program, its standard output to `output_fd`; true when it exits with 0.
bool run_child(const std::vector<std::string>& command, int output_fd) {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::dup2(output_fd, STDOUT_FILENO) >= 0) ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::uint32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set))) : 1;
}

Result<std::vector<simdjson::padded_string>> read_headers(const checkpoint::TensorFiles& files) {
  std::vector<simdjson::padded_string> headers;
  for (std::uint32_t i = 0; i < files.files().size(); ++i) {
    std::uint64_t size = 0;
    NVFP4_RETURN_IF_ERROR(files.read_range(i, 0, std::as_writable_bytes(std::span(&size, 1))));
    simdjson::padded_string text(size);
    NVFP4_RETURN_IF_ERROR(files.read_range(i, 8, std::as_writable_bytes(std::span(text.data(), size))));
    headers.push_back(std::move(text));
  }
  return headers;
}

Status measure_open(const Workplace& place, const Options& options, std::vector<Measurement>& out) {
  const auto directory = place.make_checkpoint("many", MoeCheckpoint{});
  if (!directory) return directory.error();
  const auto files = checkpoint::TensorFiles::open(*directory, LoadMode::kMap);
  if (!files) return files.error();
  const auto headers = read_headers(*files);
  if (!headers) return headers.error();
  simdjson::dom::parser parser;
  bool sound = files->tensors().size() == 73'728;
  std::vector<double> whole;
  std::vector<double> headers_only;
  std::vector<double> rival;
  for (int i = -1; i < options.num_repeats; ++i) {  // the first round only warms up
    const double parse_ms = time_ms([&] {
      for (const simdjson::padded_string& text : *headers)
        sound = sound && parser.parse(text).error() == simdjson::SUCCESS;
    });
    // Taking them down again is not timed.
    std::optional<Result<checkpoint::TensorFiles>> opened_files;
    const double files_ms = time_ms([&] { opened_files = checkpoint::TensorFiles::open(*directory, LoadMode::kMap); });
    std::optional<Result<Checkpoint>> opened;
    const double open_ms = time_ms([&] { opened = Checkpoint::open(*directory); });
    sound = sound && opened_files->ok() && opened->ok();
    if (i < 0) continue;
    rival.push_back(parse_ms);
    headers_only.push_back(files_ms);
    whole.push_back(open_ms);
  }
  if (!sound) return Error{ErrorCode::kMalformed, directory->string(), "did not open as it was made"};
  const std::string dom = "simdjson DOM of the headers";
  out.push_back({"open, 73,728 tensors in 30 files", median(whole), median(rival), "ms", dom, 3});
  out.push_back({"headers and index only", median(headers_only), median(rival), "ms", dom, 0});
  return {};
}

// In a process of its own, whose memory nothing else has touched.
Result<double> resident_growth_mb(const std::filesystem::path& directory, const char* mode) {
  std::array<int, 2> pipe_fds{};
  if (::pipe(pipe_fds.data()) != 0) return Error{ErrorCode::kIo, "pipe", system_error_text(errno)};
  const FileDescriptor reader(pipe_fds[0]);
  FileDescriptor writer(pipe_fds[1]);
  if (!run_child({"/proc/self/exe", "--resident", mode, "--resident-dir", directory.string()}, writer.get()))
    return Error{ErrorCode::kIo, directory.string(), "could not be opened in a process of its own"};
  std::array<char, 64> text{};
  if (::read(reader.get(), text.data(), text.size() - 1) <= 0) return Error{ErrorCode::kIo, "pipe", "is empty"};
  return std::strtod(text.data(), nullptr);
}

Status measure_resident(const Workplace& place, const Options& /*options*/, std::vector<Measurement>& out) {
  const auto directory = place.make_checkpoint("large", {.hidden_size = 4096, .intermediate_size = 1424});
  if (!directory) return directory.error();
  for (const char* mode : {"map", "read"}) {
    const auto growth = resident_growth_mb(*directory, mode);
    if (!growth) return growth.error();
    out.push_back({fmt::format("resident memory of opening 60 GB ({})", mode), *growth, 0, "MB", "", 64});
  }
  return {};
}

Status measure_check(const Workplace& place, const Options& options, std::vector<Measurement>& out) {
  const auto directory = place.make_checkpoint("filled", {.num_layers = 6, .num_shards = 1, .filled = true});
  if (!directory) return directory.error();
  const FileDescriptor null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const std::vector<std::string> cat{"cat", (*directory / "model.safetensors").string()};
  std::vector<std::uint32_t> thread_counts{1};
  if (usable_cores() > 1) thread_counts.push_back(usable_cores());
  bool sound = null.valid() && run_child(cat, null.get());
  for (const std::uint32_t num_threads : thread_counts) {
    std::vector<double> check;
    std::vector<double> rival;
    for (int i = 0; i < options.num_repeats; ++i) {
      rival.push_back(time_ms([&] { sound = sound && run_child(cat, null.get()); }));
      check.push_back(time_ms([&] {
        const auto opened = Checkpoint::open(*directory, {.load_mode = LoadMode::kRead});
        if (!opened) return void(sound = false);
        const auto health = checkpoint::check_health(*opened, {.num_threads = num_threads});
        sound = sound && health.ok() && health->findings.empty();
      }));
    }
    const bool all = num_threads == usable_cores();
    out.push_back({fmt::format("check of 2 GB, {} thread{}", num_threads, num_threads == 1 ? "" : "s"), median(check),
                   median(rival), "ms", "cat", all ? 1.3 : 0});
  }
  if (!sound) return Error{ErrorCode::kMalformed, directory->string(), "could not be read, or is not sound"};
  return {};
}

double resident_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::strtod(line.c_str() + 6, nullptr) * 1024 / 1e6;
  }
  return 0;
}

int print_resident(const Options& options) {
  const double before = resident_mb();
  const auto mode = options.resident_mode == "map" ? LoadMode::kMap : LoadMode::kRead;
  const auto opened = Checkpoint::open(options.resident_directory, {.load_mode = mode});
  if (!opened) {
    fmt::print(stderr, "error: {}\n", opened.error().to_string());
    return 2;
  }
  fmt::print("{:.3f}\n", resident_mb() - before);
  return 0;
}

int fail(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.to_string());
  return 2;
}

int run(const Options& options) {
  if (!options.resident_mode.empty()) return print_resident(options);
  const auto place = Workplace::make(options.directory, options.keep);
  if (!place) return fail(place.error());
  std::vector<Measurement> measurements;
  std::size_t num_printed = 0;
  const auto print_new = [&] {
    for (; !options.json && num_printed < measurements.size(); ++num_printed) {
      fmt::print("{}\n", to_text(measurements[num_printed]));
      std::fflush(stdout);
    }
  };
  for (const auto measure : {measure_open, measure_resident, measure_check}) {
    if (const Status status = measure(*place, options, measurements); !status) return fail(status.error());
    print_new();
  }
  if (options.json) fmt::print("{}", to_json(measurements));
  const bool all_met = std::all_of(measurements.begin(), measurements.end(), [](const auto& m) { return m.met(); });
  return options.strict && !all_met ? 1 : 0;
}

}  // namespace
}  // namespace nvfp4::bench

int main(int argc, char** argv) {
  CLI::App app{"Measures opening and checking checkpoints", "checkpoint_bench"};
  nvfp4::bench::Options options;
  app.add_option("--dir", options.directory, "where to make the inputs (2.1 GB, and sparse files)");
  app.add_option("--repeat", options.num_repeats, "runs of each; the median counts")->check(CLI::Range(1, 1000));
  app.add_flag("--keep", options.keep, "keep the inputs");
  app.add_flag("--json", options.json, "for programs");
  app.add_flag("--strict", options.strict, "exit with 1 when a target is missed");
  app.add_option("--resident", options.resident_mode)->group("");
  app.add_option("--resident-dir", options.resident_directory)->group("");
  CLI11_PARSE(app, argc, argv);
  return nvfp4::bench::run(options);
}
