// The device's sort against a stable sort on the host, for every way it takes and around each of their edges.
#include "kernels/cuda_shared/sort_by_expert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "device/device.h"
#include "device/graph.h"
#include "support/emulated_size.h"
#include "support/gpu_array.h"

namespace nvfp4::kernels {
namespace {

using support::GpuArray;
using support::GpuQueue;

struct HostSort {
  std::vector<std::int32_t> offsets, pair_of_row, row_of_pair;

  bool operator==(const HostSort&) const = default;
};

HostSort sort_on_host(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& expert_map,
                      std::uint32_t num_ids, std::uint32_t num_experts) {
  const auto place = [&](std::size_t pair) {
    if (ids[pair] < 0 || ids[pair] >= static_cast<std::int32_t>(num_ids)) return -1;
    const std::int32_t e = expert_map.empty() ? ids[pair] : expert_map[static_cast<std::size_t>(ids[pair])];
    return e >= 0 && e < static_cast<std::int32_t>(num_experts) ? e : -1;
  };
  HostSort sorted;
  sorted.row_of_pair.assign(ids.size(), -1);
  for (std::int32_t e = 0; e < static_cast<std::int32_t>(num_experts); ++e) {
    sorted.offsets.push_back(static_cast<std::int32_t>(sorted.pair_of_row.size()));
    for (std::size_t pair = 0; pair < ids.size(); ++pair) {
      if (place(pair) != e) continue;
      sorted.row_of_pair[pair] = static_cast<std::int32_t>(sorted.pair_of_row.size());
      sorted.pair_of_row.push_back(static_cast<std::int32_t>(pair));
    }
  }
  sorted.offsets.push_back(static_cast<std::int32_t>(sorted.pair_of_row.size()));
  sorted.pair_of_row.resize(ids.size(), -1);
  return sorted;
}

class SortByExpertTest : public ::testing::Test {
 protected:
  // Through a graph that is captured before the first plain call.
  HostSort sort_on_device(std::uint32_t num_tokens, std::uint32_t top_k, const std::vector<std::int32_t>& ids,
                          const std::vector<std::int32_t>& expert_map, std::uint32_t num_ids,
                          std::uint32_t num_experts) {
    const GpuArray<std::int32_t> device_ids(queue_, ids);
    const GpuArray<std::int32_t> device_map(queue_, expert_map);
    const GpuArray<std::int32_t> offsets(queue_, num_experts + 1);
    const GpuArray<std::int32_t> pair_of_row(queue_, ids.size());
    const GpuArray<std::int32_t> row_of_pair(queue_, ids.size());
    const GpuArray<std::byte> workspace(queue_, sort_workspace_bytes(num_tokens, num_experts));
    SortByExpert sort{num_tokens, top_k, {nullptr, num_ids, num_experts}, device_ids.data(), {}};
    if (!expert_map.empty()) sort.lookup.expert_map = device_map.data();
    sort.out = {offsets.data(), pair_of_row.data(), row_of_pair.data()};
    const auto graph = GpuQueue::must(
        Graph::capture(queue_.stream(), [&] { return sort_by_expert(sort, workspace.data(), queue_.get()); }));
    queue_.expect_ok(graph.launch(queue_.get()));
    return {offsets.host(), pair_of_row.host(), row_of_pair.host()};
  }

  GpuQueue queue_;
};

std::vector<std::int32_t> random_ids(std::size_t num_pairs, std::uint32_t num_ids, std::mt19937_64& random) {
  std::vector<std::int32_t> ids(num_pairs);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % num_ids);
  return ids;
}

TEST_F(SortByExpertTest, EveryWayAroundItsEdges) {
  std::mt19937_64 random(1);
  for (const std::uint32_t top_k : {1U, 2U, 6U, 8U, 22U, 32U}) {
    for (const std::uint32_t num_experts : {1U, 7U, 128U, 256U, 511U, 512U}) {
      for (const std::uint32_t num_pairs :
           {1U, 127U, 128U, 129U, 512U, 513U, 1024U, 1056U, 2048U, 2080U, 8192U, 8224U, 20000U}) {
        if (support::is_for_gpus_only(std::uint64_t{num_pairs} * (top_k % 3 + num_experts % 8), 2200)) continue;
        const std::uint32_t num_tokens = std::max(1U, num_pairs / top_k);
        const auto ids = random_ids(std::size_t{num_tokens} * top_k, num_experts, random);
        ASSERT_TRUE(sort_on_device(num_tokens, top_k, ids, {}, num_experts, num_experts) ==
                    sort_on_host(ids, {}, num_experts, num_experts))
            << num_tokens << " tokens, " << top_k << " of " << num_experts;
      }
    }
  }
}

TEST_F(SortByExpertTest, ManyTokens) {
  std::mt19937_64 random(2);
  for (const std::uint32_t num_tokens : {4095U, 4096U, 4097U, 8192U, 10001U}) {
    if (support::is_for_gpus_only(num_tokens, 4097)) continue;
    const auto ids = random_ids(std::size_t{num_tokens} * 8, 128, random);
    ASSERT_TRUE(sort_on_device(num_tokens, 8, ids, {}, 128, 128) == sort_on_host(ids, {}, 128, 128)) << num_tokens;
  }
  if (support::kIsEmulated) return;
  const auto ids = random_ids(8192 * 32, 512, random);
  ASSERT_TRUE(sort_on_device(8192, 32, ids, {}, 512, 512) == sort_on_host(ids, {}, 512, 512));
}

TEST_F(SortByExpertTest, OneExpertNoneAndForeignOnes) {
  std::mt19937_64 random(3);
  for (const std::uint32_t num_tokens : {1U, 5U, 64U, 300U, 1024U, 3000U}) {
    const std::size_t num_pairs = std::size_t{num_tokens} * 6;
    std::vector<std::int32_t> ids(num_pairs, 17);
    EXPECT_TRUE(sort_on_device(num_tokens, 6, ids, {}, 32, 32) == sort_on_host(ids, {}, 32, 32)) << num_tokens;
    std::fill(ids.begin(), ids.end(), -1);
    EXPECT_TRUE(sort_on_device(num_tokens, 6, ids, {}, 32, 32) == sort_on_host(ids, {}, 32, 32)) << num_tokens;
    // Of 64 experts, 20 are here, in an order of their own; ids of none among them.
    std::vector<std::int32_t> expert_map(64);
    std::iota(expert_map.begin(), expert_map.end(), -20);
    std::shuffle(expert_map.begin(), expert_map.end(), random);
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % 80) - 8;
    ids.front() = std::numeric_limits<std::int32_t>::min();
    ids.back() = std::numeric_limits<std::int32_t>::max();
    EXPECT_TRUE(sort_on_device(num_tokens, 6, ids, expert_map, 64, 20) == sort_on_host(ids, expert_map, 64, 20))
        << num_tokens;
  }
}

}  // namespace
}  // namespace nvfp4::kernels
