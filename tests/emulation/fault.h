// What the emulation found wrong with a kernel. A test in which something was found and not taken has failed
// (emulation_main.cc).
#pragma once

#include <string>
#include <vector>

namespace nvfp4::emulation {

// The first few of a launch are kept, each text once.
void report_fault(const std::string& text);
void begin_faults_of_launch();

// All since the last call; in the order in which they were found.
[[nodiscard]] std::vector<std::string> take_faults();
[[nodiscard]] bool has_faults();

}  // namespace nvfp4::emulation
