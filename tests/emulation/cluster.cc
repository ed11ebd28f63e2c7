#include "emulation/cluster.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "emulation/access.h"
#include "emulation/emulated_device.h"
#include "emulation/fault.h"
#include "emulation/planted_fault.h"

namespace nvfp4::emulation {

bool Cluster::run(const Launch& launch, LaunchOrder& order, std::uint32_t first) {
  num_blocks_ = launch.cluster;
  first_ = first;
  phase_ = num_arrived_ = 0;
  arriving_ = completed_ = {};
  arrivals_.assign(num_blocks_, std::vector<std::uint32_t>(launch.block.count(), 0));
  while (blocks_.size() < num_blocks_) blocks_.push_back(std::make_unique<Block>());
  for (std::uint32_t i = 0; i < num_blocks_; ++i) blocks_[i]->begin(launch, order, first + i, this);
  if (!run_blocks(num_blocks_)) return false;
  for (std::uint32_t i = 0; i < num_blocks_; ++i) {
    Block& block = *blocks_[i];
    block.end();
    if (block.shared.used_bytes() <= emulated_device().shared_bytes_per_block) continue;
    report_fault("kernel " + block.kernel_name() + " has " + std::to_string(block.shared.used_bytes()) +
                 " bytes of shared memory, more than the device");
    return false;
  }
  return true;
}

bool Cluster::run_blocks(std::uint32_t count) {
  constexpr std::uint32_t kMaxIdlePasses = 3;  // a thread that polls sees in the next pass what came true in this one
  std::vector<std::uint32_t> left(count);
  std::iota(left.begin(), left.end(), 0U);
  while (!left.empty()) {
    std::uint32_t num_idle = 0;
    if (count > 1) std::shuffle(left.begin(), left.end(), random_);
    for (const std::uint32_t i : left) {
      Block& block = *blocks_[i];
      block.enter();
      do {
        block.run_pass();
        if (block.has_failed()) return false;
      } while (!block.has_ended() && block.num_idle_passes() < (count == 1 ? kMaxIdlePasses : 1));
      block.leave();
      if (block.num_idle_passes() >= kMaxIdlePasses) ++num_idle;
    }
    const bool has_ended = std::erase_if(left, [&](std::uint32_t i) { return blocks_[i]->has_ended(); }) != 0;
    if (left.empty() || has_ended || num_idle < left.size()) continue;
    blocks_[left[0]]->report_deadlock();
    return false;
  }
  return true;
}

// Threads that have ended are not waited for.
void Cluster::end_phase_if_complete(Block& block) {
  std::uint32_t num_alive = 0;
  for (std::uint32_t i = 0; i < num_blocks_; ++i) num_alive += blocks_[i]->num_alive();
  if (num_arrived_ < num_alive) return;
  ++phase_;
  num_arrived_ = 0;
  completed_ = arriving_;
  block.note_progress();
}

void Cluster::arrive(Block& block) {
  std::uint32_t& mine = arrivals_[block.block_idx() - first_][block.thread()];
  if (mine == phase_ + 1) block.fail("comes to the cluster's barrier twice without having waited");
  mine = phase_ + 1;
  arriving_.join(released_view(block.block_idx(), block.clocks(), block.thread()));
  ++num_arrived_;
  end_phase_if_complete(block);
}

void Cluster::wait(Block& block) {
  if (is_planted(PlantedFault::kNoClusterBarrier)) return;
  const std::uint32_t mine = arrivals_[block.block_idx() - first_][block.thread()];
  if (mine == 0) block.fail("waits at the cluster's barrier without having come there");
  while (phase_ < mine) {
    end_phase_if_complete(block);
    if (phase_ < mine) block.yield("a cluster's barrier");
  }
  block.clock().view.join(completed_);
}

std::uint32_t Cluster::load(Block& block, std::uint32_t address, std::uint32_t rank, const void* code) {
  if (rank >= num_blocks_) block.fail("reads block " + std::to_string(rank) + " of a cluster that has none");
  Block& other = *blocks_[rank];
  if (&other == &block) {
    const std::byte* const from = block.shared.at(address);
    touch(AccessKind::kRead, from, sizeof(std::uint32_t), code);
    return *reinterpret_cast<const std::uint32_t*>(from);
  }
  if (other.num_alive() == 0) block.fail("reads shared memory of block " + std::to_string(rank) + ", which has ended");
  if (!other.shared.is_inside(address, sizeof(std::uint32_t))) {
    block.fail("reads shared memory of block " + std::to_string(rank) + " that nothing wrote there");
  }
  touch_other(other, address, sizeof(std::uint32_t), code);
  return other.shared.load_word_of_other(address);
}

}  // namespace nvfp4::emulation
