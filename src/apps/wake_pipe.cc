#include "apps/wake_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace nvfp4::apps {

void WakePipe::open() {
  int ends[2];
  if (read_end_ >= 0 || ::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return;
  read_end_ = ends[0];
  write_end_ = ends[1];
}

void WakePipe::wake() const {
  const int saved = errno;
  const char byte = 0;
  [[maybe_unused]] const ssize_t ignored = ::write(write_end_, &byte, 1);
  errno = saved;
}

bool WakePipe::clear() const {
  char bytes[64];
  bool any = false;
  while (read_end_ >= 0 && ::read(read_end_, bytes, sizeof(bytes)) > 0) any = true;
  return any;
}

}  // namespace nvfp4::apps
