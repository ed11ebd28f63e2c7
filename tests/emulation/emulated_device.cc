#include "emulation/emulated_device.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "emulation/atomics.h"
#include "emulation/cluster.h"
#include "emulation/fault.h"

namespace nvfp4::emulation {
namespace {

constexpr std::uint64_t kPlainDynamicBytes = 48 << 10;
constexpr std::uint32_t kMaxCluster = 8;  // on any device that has clusters

std::map<const void*, std::uint64_t>& allowed_bytes() {
  static std::map<const void*, std::uint64_t> by_kernel;
  return by_kernel;
}

std::optional<std::vector<Work>>& recording() {
  static std::optional<std::vector<Work>> work;
  return work;
}

void run(const Launch& launch) {
  static Cluster cluster;
  static std::mt19937_64 random(1);
  begin_faults_of_launch();
  begin_launch_of_atomics();
  LaunchOrder order = begin_launch_order(launch.may_overlap);
  std::vector<std::uint32_t> first_blocks;
  for (std::uint32_t first = 0; first < launch.grid.count(); first += launch.cluster) first_blocks.push_back(first);
  std::shuffle(first_blocks.begin(), first_blocks.end(), random);
  for (const std::uint32_t first : first_blocks) {
    if (!cluster.run(launch, order, first)) break;
  }
  end_launch_order(order);
}

}  // namespace

DeviceCaps device_like_sm80() {
  DeviceCaps caps;
  caps.name = "emulated sm_80";
  caps.sm = 80;
  caps.num_sms = 4;
  caps.num_threads_per_sm = 2048;
  caps.num_registers_per_sm = 65536;
  caps.shared_bytes_per_sm = 167936;
  caps.shared_bytes_per_block = 166912;
  caps.reserved_shared_bytes = 1024;
  caps.l2_bytes = 40ULL << 20U;
  caps.memory_bytes = 1ULL << 30U;
  return caps;
}

DeviceCaps device_like_sm90() {
  DeviceCaps caps = device_like_sm80();
  caps.name = "emulated sm_90";
  caps.sm = 90;
  caps.shared_bytes_per_sm = 233472;
  caps.shared_bytes_per_block = 232448;
  return caps;
}

DeviceCaps device_like_sm120() {
  DeviceCaps caps = device_like_sm80();
  caps.name = "emulated sm_120";
  caps.sm = 120;
  caps.num_threads_per_sm = 1536;
  caps.shared_bytes_per_sm = 102400;
  caps.shared_bytes_per_block = 101376;
  return caps;
}

DeviceCaps& emulated_device() {
  static DeviceCaps device = device_like_sm80();
  return device;
}

bool allow_dynamic_shared(const void* kernel, std::uint64_t num_bytes) {
  if (num_bytes > emulated_device().shared_bytes_per_block) return false;
  allowed_bytes()[kernel] = num_bytes;
  return true;
}

bool submit(const Launch& launch) {
  const auto allowed = allowed_bytes().find(launch.kernel);
  const std::uint64_t most = allowed == allowed_bytes().end() ? kPlainDynamicBytes : allowed->second;
  const std::uint64_t num_threads = std::uint64_t{launch.block.x} * launch.block.y * launch.block.z;
  if (launch.dynamic_bytes > most || num_threads == 0 || num_threads > kMaxThreads || launch.grid.count() == 0 ||
      launch.cluster > kMaxCluster || launch.grid.count() % launch.cluster != 0 ||
      (launch.cluster > 1 && emulated_device().sm < 90)) {
    return false;
  }
  submit([launch] { run(launch); });
  return true;
}

void submit(Work work) {
  if (recording().has_value()) {
    recording()->push_back(std::move(work));
  } else {
    work();
  }
}

void begin_recording() { recording().emplace(); }
std::vector<Work> end_recording() { return std::exchange(recording(), std::nullopt).value_or(std::vector<Work>()); }

}  // namespace nvfp4::emulation
