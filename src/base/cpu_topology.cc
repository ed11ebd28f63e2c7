#include "base/cpu_topology.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>
#include <tuple>

namespace nvfp4 {
namespace {

constexpr unsigned kMaxCpus = 1 << 16;
constexpr std::size_t kBitsPerWord = sizeof(unsigned long) * CHAR_BIT;

// Files of the kernel have no size before they are read.
std::string read_kernel_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The part before `separator`, which `text` loses with it; all of it when there is none.
std::string_view cut(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view head = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return head;
}

struct Machine {
  std::map<unsigned, unsigned> core;  // of a CPU
  std::map<unsigned, unsigned> node;
};

Machine read_machine() {
  Machine machine;
  for (const unsigned id : parse_cpu_list(read_kernel_file("/sys/devices/system/cpu/present"))) {
    const auto siblings = parse_cpu_list(
        read_kernel_file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", id)));
    machine.core[id] = siblings.empty() ? id : *std::min_element(siblings.begin(), siblings.end());
  }
  for (const unsigned node : parse_cpu_list(read_kernel_file("/sys/devices/system/node/online"))) {
    for (const unsigned id :
         parse_cpu_list(read_kernel_file(fmt::format("/sys/devices/system/node/node{}/cpulist", node)))) {
      machine.node[id] = node;
    }
  }
  return machine;
}

// The smallest limit of the group at `path` and of those around it. Of those that are not to be seen from inside a
// container nothing is known.
template <class Read>
std::optional<double> smallest_limit(std::string path, Read&& read) {
  std::optional<double> smallest;
  while (true) {
    const std::optional<double> limit = read(path);
    if (limit && (!smallest || *limit < *smallest)) smallest = limit;
    if (path.empty() || path == "/") return smallest;
    path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

}  // namespace

std::vector<unsigned> parse_cpu_list(std::string_view text) {
  std::vector<unsigned> ids;
  text = trim(text);
  while (!text.empty()) {
    std::string_view range = cut(text, ',');
    const bool is_one = range.find('-') == std::string_view::npos;
    const auto first = parse_number<unsigned>(cut(range, '-'));
    const auto last = is_one ? first : parse_number<unsigned>(range);
    if (!first || !last || *last < *first || *last >= kMaxCpus) return {};
    for (unsigned id = *first; id <= *last; ++id) ids.push_back(id);
  }
  return ids;
}

std::optional<double> parse_cpu_max(std::string_view text) {
  text = trim(text);
  const std::string_view quota = cut(text, ' ');
  return parse_cfs_quota(quota, text);
}

std::optional<double> parse_cfs_quota(std::string_view quota_us, std::string_view period_us) {
  const auto quota = parse_number<long long>(trim(quota_us));
  const auto period = parse_number<long long>(trim(period_us));
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;  // "max" and -1: no limit
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<std::string> parse_cgroup_path(std::string_view text, std::string_view controller) {
  while (!text.empty()) {
    std::string_view path = cut(text, '\n');  // "4:cpu,cpuacct:/path"; "0::/path" is version 2
    cut(path, ':');
    std::string_view controllers = cut(path, ':');
    if (path.empty() || path[0] != '/') continue;
    if (controllers.empty() && controller.empty()) return std::string(path);
    while (!controllers.empty()) {
      if (cut(controllers, ',') == controller) return std::string(path);
    }
  }
  return std::nullopt;
}

std::optional<double> cpu_quota() {
  const std::string groups = read_kernel_file("/proc/self/cgroup");
  const auto read_v2 = [](const std::string& path) {
    return parse_cpu_max(read_kernel_file("/sys/fs/cgroup" + path + "/cpu.max"));
  };
  const auto read_v1 = [](const std::string& path) {
    const std::string group = "/sys/fs/cgroup/cpu" + path;
    return parse_cfs_quota(read_kernel_file(group + "/cpu.cfs_quota_us"),
                           read_kernel_file(group + "/cpu.cfs_period_us"));
  };
  std::optional<double> quota;
  if (const auto path = parse_cgroup_path(groups, "")) quota = smallest_limit(*path, read_v2);
  if (const auto path = parse_cgroup_path(groups, "cpu"); !quota && path) quota = smallest_limit(*path, read_v1);
  return quota;
}

std::vector<Cpu> allowed_cpus() {
  static const Machine machine = read_machine();
  std::vector<Cpu> cpus;
  for (const unsigned id : affinity()) {
    const auto core = machine.core.find(id);
    const auto node = machine.node.find(id);
    cpus.push_back({id, core == machine.core.end() ? id : core->second, node == machine.node.end() ? 0 : node->second});
  }
  std::sort(cpus.begin(), cpus.end(),
            [](const Cpu& a, const Cpu& b) { return std::tie(a.node, a.core, a.id) < std::tie(b.node, b.core, b.id); });
  return cpus;
}

std::size_t num_cores(std::span<const Cpu> cpus) {
  std::vector<unsigned> cores;
  for (const Cpu& cpu : cpus) cores.push_back(cpu.core);
  std::sort(cores.begin(), cores.end());
  return static_cast<std::size_t>(std::unique(cores.begin(), cores.end()) - cores.begin());
}

std::size_t default_num_workers(std::span<const Cpu> cpus, std::optional<double> quota) {
  std::size_t count = cpus.empty() ? std::thread::hardware_concurrency() : num_cores(cpus);
  if (quota && std::ceil(*quota) < static_cast<double>(count)) count = static_cast<std::size_t>(std::ceil(*quota));
  return std::max<std::size_t>(1, count);
}

std::size_t default_num_workers() { return default_num_workers(allowed_cpus(), cpu_quota()); }

std::vector<std::vector<unsigned>> place_workers(std::span<const Cpu> cpus, std::size_t num_workers) {
  if (num_workers > cpus.size()) return {};
  std::vector<std::vector<unsigned>> cores;  // by node
  std::vector<unsigned> nodes;               // of the cores
  std::map<unsigned, std::vector<unsigned>> of_node;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    if (i == 0 || cpus[i].core != cpus[i - 1].core) {
      cores.emplace_back();
      nodes.push_back(cpus[i].node);
    }
    cores.back().push_back(cpus[i].id);
    of_node[cpus[i].node].push_back(cpus[i].id);
  }
  std::vector<std::vector<unsigned>> places;
  if (num_workers < cores.size()) {
    for (std::size_t w = 0; w < num_workers; ++w) places.push_back(of_node[nodes[w * cores.size() / num_workers]]);
    return places;
  }
  // A hyper-thread more for every core in turn until there is one for each worker.
  std::vector<std::size_t> num_threads(cores.size(), 1);
  for (std::size_t left = num_workers - cores.size(), i = 0; left > 0; i = (i + 1) % cores.size()) {
    if (num_threads[i] == cores[i].size()) continue;
    ++num_threads[i];
    --left;
  }
  for (std::size_t i = 0; i < cores.size(); ++i) {
    if (num_threads[i] == 1) {
      places.push_back(cores[i]);
    } else {
      for (std::size_t t = 0; t < num_threads[i]; ++t) places.push_back({cores[i][t]});
    }
  }
  return places;
}

std::vector<unsigned> affinity() {
  for (std::size_t num_words = 1024 / kBitsPerWord; num_words <= kMaxCpus / kBitsPerWord; num_words *= 4) {
    std::vector<unsigned long> mask(num_words, 0);
    if (::sched_getaffinity(0, num_words * sizeof(unsigned long), reinterpret_cast<cpu_set_t*>(mask.data())) != 0) {
      continue;  // more CPUs than the mask holds
    }
    std::vector<unsigned> ids;
    for (unsigned id = 0; id < num_words * kBitsPerWord; ++id) {
      if ((mask[id / kBitsPerWord] >> (id % kBitsPerWord) & 1U) != 0) ids.push_back(id);
    }
    return ids;
  }
  return {};
}

bool set_affinity(std::span<const unsigned> cpu_ids) {
  if (cpu_ids.empty()) return false;
  // On the stack: a thread of a pool may begin while an operation runs that must not allocate.
  std::array<unsigned long, kMaxCpus / kBitsPerWord> mask{};
  unsigned last = 0;
  for (const unsigned id : cpu_ids) {
    if (id >= kMaxCpus) return false;
    mask[id / kBitsPerWord] |= 1UL << (id % kBitsPerWord);
    last = std::max(last, id);
  }
  const std::size_t num_bytes = (last / kBitsPerWord + 1) * sizeof(unsigned long);
  return ::sched_setaffinity(0, num_bytes, reinterpret_cast<cpu_set_t*>(mask.data())) == 0;
}

}  // namespace nvfp4
