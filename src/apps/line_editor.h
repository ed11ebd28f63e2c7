// Lines from a terminal, with editing keys and a history of this session.
#pragma once

#include <string>

#include "apps/interrupt.h"

namespace nvfp4::apps {

// One at a time: the editor behind it is the process's only one. Ctrl-C gives the line up, and between two calls only
// sets InterruptGuard's flag.
class LineEditor {
 public:
  enum class Outcome { kLine, kGivenUp, kEnd };

  LineEditor();

  // UTF-8 without the line end; lines that are not empty go into the history.
  [[nodiscard]] Outcome read(const char* prompt, std::string& line);

 private:
  InterruptGuard guard_;
};

}  // namespace nvfp4::apps
