#include "base/cpu_topology.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace nvfp4 {
namespace {

using Ids = std::vector<unsigned>;
using Places = std::vector<Ids>;

TEST(ParseCpuList, TakesNumbersAndRanges) {
  EXPECT_EQ(parse_cpu_list("0\n"), (Ids{0}));
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11\n"), (Ids{0, 1, 2, 3, 8, 10, 11}));
  for (const char* const text : {"", "\n", "x", "3-1", "1-", "-1", "0,,1", "0-99999999999", "0-70000"}) {
    EXPECT_EQ(parse_cpu_list(text), Ids()) << text;
  }
}

TEST(CpuQuota, IsReadFromBothVersionsOfControlGroups) {
  EXPECT_EQ(parse_cpu_max("150000 100000\n"), 1.5);
  EXPECT_EQ(parse_cpu_max("20000 10000"), 2.0);
  for (const char* const text : {"max 100000\n", "", "100000", "0 100000", "100000 0", "a b"}) {
    EXPECT_EQ(parse_cpu_max(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_cfs_quota("250000\n", "100000\n"), 2.5);
  EXPECT_EQ(parse_cfs_quota("-1\n", "100000\n"), std::nullopt);
  EXPECT_EQ(parse_cfs_quota("", ""), std::nullopt);
}

TEST(CgroupPath, IsThatOfTheController) {
  constexpr const char* kMixed = "9:name=systemd:/s\n4:cpuset:/a\n2:cpu,cpuacct:/b:c\n0::/d/e\n";
  EXPECT_EQ(parse_cgroup_path(kMixed, "cpu"), "/b:c");
  EXPECT_EQ(parse_cgroup_path(kMixed, "cpuacct"), "/b:c");
  EXPECT_EQ(parse_cgroup_path(kMixed, "cpuset"), "/a");
  EXPECT_EQ(parse_cgroup_path(kMixed, ""), "/d/e");
  EXPECT_EQ(parse_cgroup_path("0::/\n", "cpu"), std::nullopt);
  EXPECT_EQ(parse_cgroup_path("2:cpu:/x\n", ""), std::nullopt);
  EXPECT_EQ(parse_cgroup_path("nonsense\n:\n", "cpu"), std::nullopt);
}

// Two nodes of two cores of two hyper-threads, numbered as Linux does: second threads behind all first ones.
std::vector<Cpu> two_nodes() {
  return {{0, 0, 0}, {4, 0, 0}, {1, 1, 0}, {5, 1, 0}, {2, 2, 1}, {6, 2, 1}, {3, 3, 1}, {7, 3, 1}};
}

TEST(DefaultNumWorkers, IsOneACoreWithinTheQuota) {
  EXPECT_EQ(num_cores(two_nodes()), 4U);
  EXPECT_EQ(default_num_workers(two_nodes(), std::nullopt), 4U);
  EXPECT_EQ(default_num_workers(two_nodes(), 2.5), 3U);
  EXPECT_EQ(default_num_workers(two_nodes(), 0.1), 1U);
  EXPECT_EQ(default_num_workers(two_nodes(), 64), 4U);
  EXPECT_GE(default_num_workers({}, std::nullopt), 1U);
}

TEST(PlaceWorkers, OneACoreByNode) {
  EXPECT_EQ(place_workers(two_nodes(), 4), (Places{{0, 4}, {1, 5}, {2, 6}, {3, 7}}));
}

TEST(PlaceWorkers, HyperThreadsWhenThereAreMore) {
  EXPECT_EQ(place_workers(two_nodes(), 5), (Places{{0}, {4}, {1, 5}, {2, 6}, {3, 7}}));
  EXPECT_EQ(place_workers(two_nodes(), 8), (Places{{0}, {4}, {1}, {5}, {2}, {6}, {3}, {7}}));
  const std::vector<Cpu> uneven = {{0, 0, 0}, {1, 1, 0}, {3, 1, 0}};
  EXPECT_EQ(place_workers(uneven, 3), (Places{{0}, {1}, {3}}));
}

TEST(PlaceWorkers, FewerKeepToNodes) {
  const Ids first = {0, 4, 1, 5};
  const Ids second = {2, 6, 3, 7};
  EXPECT_EQ(place_workers(two_nodes(), 1), (Places{first}));
  EXPECT_EQ(place_workers(two_nodes(), 2), (Places{first, second}));
  EXPECT_EQ(place_workers(two_nodes(), 3), (Places{first, first, second}));
}

TEST(PlaceWorkers, NobodyHasAPlaceWhenThereAreTooMany) {
  EXPECT_EQ(place_workers(two_nodes(), 9), Places());
  EXPECT_EQ(place_workers({}, 1), Places());
}

// On a thread of its own: the others keep what they have.
TEST(AllowedCpus, AreThoseOfTheAffinity) {
  const std::vector<Cpu> all = allowed_cpus();
  ASSERT_FALSE(all.empty());
  EXPECT_LE(default_num_workers(), all.size());
  Ids ids = affinity();
  EXPECT_EQ(ids.size(), all.size());
  std::thread([&] {
    ASSERT_TRUE(set_affinity(Ids{ids.back()}));
    EXPECT_EQ(affinity(), Ids{ids.back()});
    const std::vector<Cpu> one = allowed_cpus();
    ASSERT_EQ(one.size(), 1U);
    EXPECT_NE(std::find(all.begin(), all.end(), one[0]), all.end());
    EXPECT_EQ(default_num_workers(), 1U);
  }).join();
  EXPECT_EQ(affinity(), ids);
  EXPECT_FALSE(set_affinity({}));
}

}  // namespace
}  // namespace nvfp4
