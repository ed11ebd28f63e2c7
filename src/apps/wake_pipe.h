// What a signal handler writes to so that poll() returns: a signal that comes before the poll is not lost.
#pragma once

namespace nvfp4::apps {

class WakePipe {
 public:
  // Without a descriptor left in the system the pipe stays closed: it wakes nothing and descriptor() is -1.
  void open();
  void wake() const;   // safe in a signal handler; keeps errno
  bool clear() const;  // whether something was waiting

  // For poll(): readable from wake() until clear().
  [[nodiscard]] int descriptor() const { return read_end_; }

 private:
  int read_end_ = -1;
  int write_end_ = -1;
};

}  // namespace nvfp4::apps
