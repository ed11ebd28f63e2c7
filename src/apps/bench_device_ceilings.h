// What a GPU does at most in the same minutes: reading memory, multiplying.
#pragma once

#include <cstddef>
#include <vector>

#include "device/buffer.h"
#include "device/device.h"
#include "device/stream.h"
#include "kernels/contract/device_peak.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

class DeviceCeilings {
 public:
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 31U;

  // An Error where there is no memory, or no loop for the device. The stream outlives the object.
  [[nodiscard]] static Result<DeviceCeilings> create(const Device& device, const Stream& stream);

  // Forgets all samples. Hot: the same num_bytes again and again; otherwise all of the buffer.
  void restart(bool hot, std::size_t num_bytes);
  // A few milliseconds of each loop.
  [[nodiscard]] Status sample();

  // The best medians of one sample(): what ran before it may still slow a sample down.
  [[nodiscard]] double bytes_per_second() const;
  [[nodiscard]] double operations_per_second() const;

 private:
  struct Reader {
    const kernels::DeviceReadLoop* loop = nullptr;
    double rate = 0;
  };
  struct Multiplier {
    const kernels::DeviceMultiplyLoop* loop = nullptr;
    double rate = 0;
  };

  DeviceCeilings(const Device& device, const Stream& stream, Buffer buffer, Buffer sink);
  [[nodiscard]] Status read(Reader& reader);
  [[nodiscard]] Status multiply(Multiplier& multiplier);

  DeviceCaps caps_;
  DeviceStream stream_;
  Buffer buffer_, sink_;
  std::size_t num_bytes_ = 0;  // of a pass
  std::uint32_t num_passes_ = 1;
  std::vector<Reader> readers_;
  std::vector<Multiplier> multipliers_;
};

}  // namespace nvfp4::apps
