#include "apps/bench_device_ceilings.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "apps/bench_device_laps.h"
#include "apps/samples.h"
#include "kernels/catalogue/device_catalogue.h"

namespace nvfp4::apps {
namespace {

using kernels::DeviceReadLoop;

constexpr std::size_t kLaps = 5;
constexpr double kMultiplySeconds = 2e-3;
constexpr double kGuessedOperationsPerSecond = 8e14;
constexpr std::uint8_t kFilling = 0x3C;

template <class Loop>
std::string no_loop(std::span<const Loop> loops, const DeviceCaps& caps) {
  std::string refusals;
  for (const Loop& loop : loops) {
    const std::string why = loop.refusal(caps);
    if (why.empty()) return {};
    refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : "; ", loop.name, why);
  }
  return fmt::format("nothing here measures what {} does at most ({})", caps.name, refusals);
}

double median_of(const std::vector<double>& values) {
  Samples samples;
  for (const double value : values) samples.add(value);
  return samples.median();
}

}  // namespace

Result<DeviceCeilings> DeviceCeilings::create(const Device& device, const Stream& stream) {
  for (const std::string& why : {no_loop(kernels::device_read_loops(), device.caps()),
                                 no_loop(kernels::device_multiply_loops(), device.caps())}) {
    if (!why.empty()) return Error{ErrorCode::kUnsupported, "nvfp4 bench", why};
  }
  auto buffer = Buffer::allocate(kBufferBytes, "nvfp4 bench: memory to measure how fast it is read");
  NVFP4_RETURN_IF_ERROR(buffer);
  NVFP4_RETURN_IF_ERROR(buffer->fill(kFilling, stream.get()));
  auto sink = Buffer::allocate(kernels::kPeakSinkBytes);
  NVFP4_RETURN_IF_ERROR(sink);
  return DeviceCeilings(device, stream, std::move(buffer).value(), std::move(sink).value());
}

DeviceCeilings::DeviceCeilings(const Device& device, const Stream& stream, Buffer buffer, Buffer sink)
    : caps_(device.caps()), stream_(stream.get()), buffer_(std::move(buffer)), sink_(std::move(sink)) {
  restart(false, 0);
}

void DeviceCeilings::restart(bool hot, std::size_t num_bytes) {
  const std::size_t wanted = hot ? std::min(num_bytes, kBufferBytes) : kBufferBytes;
  num_bytes_ = std::max(wanted / DeviceReadLoop::kStepBytes, std::size_t{1}) * DeviceReadLoop::kStepBytes;
  num_passes_ = static_cast<std::uint32_t>(kBufferBytes / num_bytes_);
  readers_.clear();
  for (const DeviceReadLoop& loop : kernels::device_read_loops()) {
    if (loop.refusal(caps_).empty()) readers_.push_back({&loop, 0});
  }
  multipliers_.clear();
  for (const kernels::DeviceMultiplyLoop& loop : kernels::device_multiply_loops()) {
    if (loop.refusal(caps_).empty()) multipliers_.push_back({&loop, 0});
  }
}

Status DeviceCeilings::sample() {
  for (Reader& reader : readers_) NVFP4_RETURN_IF_ERROR(read(reader));
  for (Multiplier& multiplier : multipliers_) NVFP4_RETURN_IF_ERROR(multiply(multiplier));
  return {};
}

Status DeviceCeilings::read(Reader& reader) {
  const auto laps = DeviceLaps::measure(stream_, kLaps, [&] {
    return reader.loop->run(caps_, buffer_.data(), num_bytes_, num_passes_, sink_.data(), stream_);
  });
  NVFP4_RETURN_IF_ERROR(laps);
  reader.rate = std::max(reader.rate, static_cast<double>(num_bytes_) * num_passes_ / median_of(*laps));
  return {};
}

Status DeviceCeilings::multiply(Multiplier& multiplier) {
  const double operations = multiplier.loop->operations_per_round(caps_);
  const auto num_rounds = static_cast<std::uint32_t>(kMultiplySeconds * kGuessedOperationsPerSecond / operations) + 1;
  const auto laps = DeviceLaps::measure(stream_, kLaps,
                                        [&] { return multiplier.loop->run(caps_, num_rounds, sink_.data(), stream_); });
  NVFP4_RETURN_IF_ERROR(laps);
  multiplier.rate = std::max(multiplier.rate, operations * num_rounds / median_of(*laps));
  return {};
}

double DeviceCeilings::bytes_per_second() const {
  double best = 0;
  for (const Reader& reader : readers_) best = std::max(best, reader.rate);
  return best;
}

double DeviceCeilings::operations_per_second() const {
  double best = 0;
  for (const Multiplier& multiplier : multipliers_) best = std::max(best, multiplier.rate);
  return best;
}

}  // namespace nvfp4::apps
