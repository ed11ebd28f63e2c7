// A program on a terminal of its own: what it shows, and what is typed.
#pragma once

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace nvfp4::support {

class PseudoTerminal {
 public:
  // Standard input, output and errors are the terminal.
  explicit PseudoTerminal(std::vector<std::string> arguments) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    winsize size = {};
    size.ws_row = 50;
    size.ws_col = 500;
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      ::setenv("TERM", "xterm", 1);
      ::unsetenv("NO_COLOR");
      ::unsetenv("LC_ALL");
      ::setenv("LANG", "C", 1);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  ~PseudoTerminal() {
    if (!ended_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(terminal_);
  }

  void type(std::string_view keys) const { static_cast<void>(!::write(terminal_, keys.data(), keys.size())); }
  void send(int signal) const { ::kill(pid_, signal); }

  // Everything shown so far that no wait has returned yet, up to and with `text`; empty when `text` does not come.
  std::string wait_for(std::string_view text, int seconds = 20) {
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(seconds);
    std::size_t at = 0;
    while ((at = shown_.find(text)) == std::string::npos) {
      if (Clock::now() >= deadline || !read_more(deadline)) return {};
    }
    std::string out = shown_.substr(0, at + text.size());
    shown_.erase(0, out.size());
    return out;
  }

  // Whether the program reads key by key: the terminal neither collects lines nor echoes.
  [[nodiscard]] bool is_raw() const {
    termios state = {};
    ::tcgetattr(terminal_, &state);
    return (state.c_lflag & (ICANON | ECHO)) == 0;
  }
  void make_cooked() const {
    termios state = {};
    ::tcgetattr(terminal_, &state);
    state.c_lflag |= ICANON | ECHO;
    ::tcsetattr(terminal_, TCSANOW, &state);
  }

  // The exit code, or 128 + signal; -1 when it does not end.
  int wait_for_end(int seconds = 20) {
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(seconds);
    while (read_more(deadline)) {
    }
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      if (Clock::now() >= deadline) return -1;
      ::usleep(5000);
    }
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] const std::string& rest() const { return shown_; }

 private:
  using Clock = std::chrono::steady_clock;

  // False at the deadline and when the program has closed the terminal.
  bool read_more(Clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready = {terminal_, POLLIN, 0};
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) return false;
    char buffer[4096];
    const ssize_t count = ::read(terminal_, buffer, sizeof(buffer));
    if (count <= 0) return false;
    shown_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  int terminal_ = -1;
  pid_t pid_ = -1;
  bool ended_ = false;
  std::string shown_;
};

}  // namespace nvfp4::support
