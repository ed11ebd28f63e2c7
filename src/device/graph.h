// Work recorded once from a stream and launched as a whole.
#pragma once

#include <utility>

#include "device/device_handle.h"
#include "device/stream.h"
#include "nvfp4/result.h"

namespace nvfp4 {

class Graph {
 public:
  // What `enqueue` (a callable that returns Status) puts on the stream is recorded, not run.
  template <class Enqueue>
  [[nodiscard]] static Result<Graph> capture(const Stream& stream, Enqueue&& enqueue) {
    NVFP4_RETURN_IF_ERROR(runtime::begin_capture(stream.get()));
    Status enqueued = std::forward<Enqueue>(enqueue)();
    auto graph = runtime::end_capture(stream.get());  // also after an error: the stream must leave the capture
    Graph owned(graph.ok() ? *graph : nullptr);
    NVFP4_RETURN_IF_ERROR(enqueued);
    NVFP4_RETURN_IF_ERROR(graph);
    return owned;
  }

  [[nodiscard]] Status launch(DeviceStream stream) const { return runtime::launch(handle_.get(), stream); }

 private:
  explicit Graph(runtime::GraphExec graph) : handle_(graph) {}

  DeviceHandle<runtime::GraphExec> handle_;
};

}  // namespace nvfp4
