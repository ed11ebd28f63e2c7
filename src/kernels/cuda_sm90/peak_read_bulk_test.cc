// The loop that reads memory by bulk copies reads what it should, and ends.
#include <gtest/gtest.h>

#include <vector>

#include "device/device.h"
#include "kernels/cuda_sm90/peak_loops.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

TEST(PeakReadBulk, EndsForAnyNumberOfPieces) {
  const support::GpuQueue queue;
  const DeviceCaps caps = support::GpuQueue::must(Device::open(0)).caps();
  const DeviceReadLoop& loop = read_by_bulk_copies();
  ASSERT_EQ(loop.refusal(caps), "");
  for (const std::uint32_t num_pieces : {1U, caps.num_sms + 1, 7 * caps.num_sms - 1}) {
    const std::size_t num_bytes = num_pieces * DeviceReadLoop::kStepBytes;
    const support::GpuArray<std::byte> memory(queue, num_bytes);
    const support::GpuArray<std::byte> sink(queue, kPeakSinkBytes);
    queue.expect_ok(loop.run(caps, memory.data(), num_bytes, 3, sink.data(), queue.get()));
    queue.expect_ok(runtime::synchronize(queue.get()));
  }
}

}  // namespace
}  // namespace nvfp4::kernels::cuda_sm90
