#include "emulation/fault.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace nvfp4::emulation {
namespace {

constexpr std::size_t kMaxFaultsOfLaunch = 8;

struct Faults {
  std::vector<std::string> texts;
  std::size_t of_launch = 0;
};
Faults& faults() {
  static Faults found;
  return found;
}

}  // namespace

void begin_faults_of_launch() { faults().of_launch = 0; }

void report_fault(const std::string& text) {
  Faults& found = faults();
  if (found.of_launch == kMaxFaultsOfLaunch) return;
  if (std::find(found.texts.begin(), found.texts.end(), text) != found.texts.end()) return;
  ++found.of_launch;
  found.texts.push_back(text);
}

std::vector<std::string> take_faults() { return std::exchange(faults().texts, {}); }
bool has_faults() { return !faults().texts.empty(); }

}  // namespace nvfp4::emulation
