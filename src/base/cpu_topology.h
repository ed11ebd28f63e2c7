// Which processors this process may use, how they hang together, and how many workers that makes.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nvfp4 {

struct Cpu {
  unsigned id = 0;
  unsigned core = 0;  // the smallest id of the hyper-threads of its core
  unsigned node = 0;  // of the memory nearest to it
  friend bool operator==(const Cpu&, const Cpu&) = default;
};

// Those that the calling thread may run on, by node, core and id.
[[nodiscard]] std::vector<Cpu> allowed_cpus();
[[nodiscard]] std::size_t num_cores(std::span<const Cpu> cpus);
// CPU time per time that the control groups of this process allow it.
[[nodiscard]] std::optional<double> cpu_quota();

// One for each core that the calling thread may run on, as far as the quota goes: a core's second hyper-thread adds no
// arithmetic and no bandwidth.
[[nodiscard]] std::size_t default_num_workers();
[[nodiscard]] std::size_t default_num_workers(std::span<const Cpu> cpus, std::optional<double> quota);

// For each worker the ids it should keep to; neighbours share a node. Enough workers to fill every core get a core each
// (or a hyper-thread, when there are more of them). Fewer get a node each: another process that counted as this one did
// would take the same cores. More workers than CPUs get nothing: the system has to take turns. `cpus` is sorted.
[[nodiscard]] std::vector<std::vector<unsigned>> place_workers(std::span<const Cpu> cpus, std::size_t num_workers);

// Of the calling thread; empty when the system does not say.
[[nodiscard]] std::vector<unsigned> affinity();
bool set_affinity(std::span<const unsigned> cpu_ids);

// The texts of the kernel's files. What cannot be read as such a text gives nothing.
[[nodiscard]] std::vector<unsigned> parse_cpu_list(std::string_view text);  // "0-3,8"
[[nodiscard]] std::optional<double> parse_cpu_max(std::string_view text);   // "150000 100000": 1.5; "max 100000"
[[nodiscard]] std::optional<double> parse_cfs_quota(std::string_view quota_us, std::string_view period_us);
// The path of the group that has `controller` ("" for cgroup v2) in /proc/self/cgroup, from its hierarchy's root.
[[nodiscard]] std::optional<std::string> parse_cgroup_path(std::string_view text, std::string_view controller);

}  // namespace nvfp4
