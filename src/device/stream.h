// A queue of work on the device, and marks in it.
#pragma once

#include "device/device_handle.h"
#include "device/device_stream.h"
#include "nvfp4/result.h"

namespace nvfp4 {

class Event {
 public:
  [[nodiscard]] static Result<Event> create();

  [[nodiscard]] DeviceEvent get() const { return handle_.get(); }
  [[nodiscard]] Status record(DeviceStream stream) const { return runtime::record(get(), stream); }
  [[nodiscard]] Status synchronize() const { return runtime::synchronize(get()); }

 private:
  explicit Event(DeviceEvent event) : handle_(event) {}

  DeviceHandle<DeviceEvent> handle_;
};

class Stream {
 public:
  // It does not wait for the default stream.
  [[nodiscard]] static Result<Stream> create();

  [[nodiscard]] DeviceStream get() const { return handle_.get(); }
  [[nodiscard]] Status synchronize() const { return runtime::synchronize(get()); }
  // Work that follows waits for the event.
  [[nodiscard]] Status wait(const Event& event) const { return runtime::wait(get(), event.get()); }

 private:
  explicit Stream(DeviceStream stream) : handle_(stream) {}

  DeviceHandle<DeviceStream> handle_;
};

// Device time between two marks of a stream.
class EventTimer {
 public:
  [[nodiscard]] static Result<EventTimer> create();

  [[nodiscard]] Status begin(DeviceStream stream) const { return begin_.record(stream); }
  [[nodiscard]] Status end(DeviceStream stream) const { return end_.record(stream); }
  // Waits for end(). Microseconds.
  [[nodiscard]] Result<float> elapsed_us() const;

 private:
  EventTimer(Event begin, Event end) : begin_(std::move(begin)), end_(std::move(end)) {}

  Event begin_;
  Event end_;
};

}  // namespace nvfp4
