// A one-line progress bar on stderr.
#pragma once

#include <chrono>
#include <cstdint>

namespace nvfp4::apps {

class Progress {
 public:
  // Shows nothing when `quiet`, or when stderr is no terminal. NO_COLOR keeps it plain.
  explicit Progress(bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Redraws ten times a second at most.
  void show(std::uint64_t done_bytes, std::uint64_t total_bytes);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool enabled_ = false;
  bool color_ = false;
  bool drawn_ = false;
  Clock::time_point began_ = Clock::now();
  Clock::time_point last_ = began_;
};

}  // namespace nvfp4::apps
