#include "apps/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "apps/command.h"

namespace nvfp4::apps {
namespace {

constexpr std::size_t kBarWidth = 30;
constexpr auto kInterval = std::chrono::milliseconds(100);

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

Progress::Progress(bool quiet) {
  const char* term = std::getenv("TERM");
  enabled_ = !quiet && isatty(STDERR_FILENO) != 0 && term != nullptr && std::string_view(term) != "dumb";
  color_ = !is_set("NO_COLOR");
}

Progress::~Progress() { clear(); }

void Progress::show(std::uint64_t done_bytes, std::uint64_t total_bytes) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || total_bytes == 0 || (drawn_ && now - last_ < kInterval)) return;
  last_ = now;
  drawn_ = true;
  const double done = static_cast<double>(done_bytes);
  const double share = std::min(1.0, done / static_cast<double>(total_bytes));
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  std::string speed;
  if (const double seconds = std::chrono::duration<double>(now - began_).count(); now - began_ >= kInterval) {
    const double left = share > 0 ? seconds * (1 - share) / share : 0;
    speed = fmt::format(", {}/s, {:.0f} s left", human_bytes(done / seconds), left);
  }
  fmt::print(stderr, "\r{}{}{}{} {:3.0f} %  {} of {}{}\x1b[K", color_ ? "\x1b[32m" : "", std::string(filled, '='),
             color_ ? "\x1b[0m" : "", std::string(kBarWidth - filled, '.'), 100 * share, human_bytes(done),
             human_bytes(static_cast<double>(total_bytes)), speed);
  std::fflush(stderr);
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace nvfp4::apps
