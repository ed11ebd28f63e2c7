#include "device/stream.h"

namespace nvfp4 {

Result<Event> Event::create() {
  const auto event = runtime::create_event();
  NVFP4_RETURN_IF_ERROR(event);
  return Event(*event);
}

Result<Stream> Stream::create() {
  const auto stream = runtime::create_stream();
  NVFP4_RETURN_IF_ERROR(stream);
  return Stream(*stream);
}

Result<EventTimer> EventTimer::create() {
  auto begin = Event::create();
  NVFP4_RETURN_IF_ERROR(begin);
  auto end = Event::create();
  NVFP4_RETURN_IF_ERROR(end);
  return EventTimer(std::move(begin).value(), std::move(end).value());
}

Result<float> EventTimer::elapsed_us() const {
  NVFP4_RETURN_IF_ERROR(end_.synchronize());
  return runtime::elapsed_us(begin_.get(), end_.get());
}

}  // namespace nvfp4
