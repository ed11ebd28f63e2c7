// Device time of the same work done several times in a row.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "device/device_stream.h"
#include "device/stream.h"
#include "nvfp4/result.h"

namespace nvfp4::apps {

class DeviceLaps {
 public:
  // launch(): puts the work on the stream, a Status. Called once more than num_laps times without waiting, so that the
  // device never waits for the host between two laps. Seconds of each lap but the one before the first mark.
  template <class Launch>
  [[nodiscard]] static Result<std::vector<double>> measure(DeviceStream stream, std::size_t num_laps, Launch&& launch) {
    std::vector<Event> marks;
    for (std::size_t i = 0; i <= num_laps; ++i) {
      auto mark = Event::create();
      NVFP4_RETURN_IF_ERROR(mark);
      marks.push_back(std::move(mark).value());
    }
    for (const Event& mark : marks) {
      NVFP4_RETURN_IF_ERROR(launch());
      NVFP4_RETURN_IF_ERROR(mark.record(stream));
    }
    NVFP4_RETURN_IF_ERROR(marks.back().synchronize());
    std::vector<double> seconds;
    for (std::size_t i = 0; i < num_laps; ++i) {
      const auto elapsed_us = runtime::elapsed_us(marks[i].get(), marks[i + 1].get());
      NVFP4_RETURN_IF_ERROR(elapsed_us);
      seconds.push_back(double{*elapsed_us} * 1e-6);
    }
    return seconds;
  }
};

}  // namespace nvfp4::apps
