#include "apps/line_editor.h"

#include <editline/readline.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <memory>

#include "apps/interrupt.h"
#include "apps/wake_pipe.h"

namespace nvfp4::apps {
namespace {

WakePipe redraw_pipe;

// Back from the background, or in a window of another size: the terminal is set up and drawn anew.
void redraw() {
  rl_deprep_terminal();
  rl_prep_terminal(1);
  rl_resize_terminal();
  rl_forced_update_display();
}

// Waits for a byte of standard input. False at its end.
bool read_byte(char& byte) {
  while (true) {
    pollfd ready[] = {
        {STDIN_FILENO, POLLIN, 0}, {InterruptGuard::descriptor(), POLLIN, 0}, {redraw_pipe.descriptor(), POLLIN, 0}};
    const int count = ::poll(ready, 3, -1);
    if (InterruptGuard::requested()) {
      byte = '\n';
      return true;
    }
    if (redraw_pipe.clear()) redraw();
    if (count <= 0 || ready[0].revents == 0) continue;
    const ssize_t num_read = ::read(STDIN_FILENO, &byte, 1);
    if (num_read < 0 && errno == EINTR) continue;
    return num_read == 1;
  }
}

// The editor's source of characters. Ctrl-C ends the line as Enter does, and read() looks at the flag.
int read_character(std::FILE*) {
  constexpr char kCtrlD = 4;
  std::mbstate_t state = {};
  char byte = 0;
  while (read_byte(byte)) {
    if (byte == '\0') return kCtrlD;  // what becomes of one typed before the terminal gave out single keys
    wchar_t character = 0;
    const std::size_t length = std::mbrtowc(&character, &byte, 1, &state);
    if (length == static_cast<std::size_t>(-1)) return 0xFFFD;
    if (length != static_cast<std::size_t>(-2)) return static_cast<int>(character);
  }
  return EOF;
}

// The editor passes over characters that the locale does not have; text is UTF-8 here whatever the locale is.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(::nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

LineEditor::LineEditor() {
  use_utf8();
  struct sigaction action = {};
  redraw_pipe.open();
  action.sa_handler = [](int) { redraw_pipe.wake(); };
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGCONT, &action, nullptr);
  ::sigaction(SIGWINCH, &action, nullptr);
  rl_catch_signals = 0;
  rl_getc_function = read_character;
  rl_initialize();
  using_history();
}

LineEditor::Outcome LineEditor::read(const char* prompt, std::string& line) {
  InterruptGuard::forget();
  redraw_pipe.clear();  // readline() sets the terminal up
  const std::unique_ptr<char, void (*)(void*)> text(readline(prompt), std::free);
  if (InterruptGuard::requested()) {
    InterruptGuard::forget();
    return Outcome::kGivenUp;
  }
  if (text == nullptr) return Outcome::kEnd;
  line = text.get();
  if (!line.empty()) add_history(line.c_str());
  return Outcome::kLine;
}

}  // namespace nvfp4::apps
