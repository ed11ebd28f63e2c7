// What the machine does at most with the same threads in the same minutes: reading memory, multiplying in registers.
#pragma once

#include <cstddef>
#include <vector>

#include "apps/samples.h"
#include "base/cpu_features.h"
#include "base/large_buffer.h"
#include "base/worker_pool.h"
#include "kernels/contract/peak_loop.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

class Ceilings {
 public:
  // Reads from a buffer of this size, in 2 MB pages as weights are. An Error when there is no memory for it.
  [[nodiscard]] static Result<Ceilings> create(std::size_t num_bytes, InstructionSet instruction_set, WorkerPool& pool);

  // Forgets all samples. Reading is timed in passes of about num_bytes, so that interruptions hit them as they hit a
  // layer of that size. Hot: always the same bytes; otherwise on and on through the buffer.
  void restart(bool int8, bool hot, std::size_t num_bytes);
  // A few milliseconds of each loop.
  void sample();

  // Medians: of the prefetch distance that is best, of the multiplications that are fastest.
  [[nodiscard]] double bytes_per_second() const;
  [[nodiscard]] double operations_per_second() const;

 private:
  struct Reader {
    std::size_t prefetch_bytes = 0;
    Samples rates;
  };
  struct Multiplier {
    const kernels::MultiplyLoop* loop = nullptr;
    Samples rates;
  };

  Ceilings(LargeBuffer buffer, InstructionSet instruction_set, WorkerPool& pool);
  void read(Reader& reader);
  void multiply(Multiplier& multiplier);
  double read_pass(const Reader& reader);  // seconds

  LargeBuffer buffer_;
  InstructionSet instruction_set_;
  WorkerPool* pool_;
  bool hot_ = false;
  std::size_t pass_bytes_ = 0;
  std::size_t next_ = 0;  // where reading goes on
  std::vector<Reader> readers_;
  std::vector<Multiplier> multipliers_;
};

}  // namespace nvfp4::apps
