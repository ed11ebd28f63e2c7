#include "checkpoint/shard_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "base/cpu_topology.h"
#include "base/thread_team.h"

namespace nvfp4::checkpoint {
namespace {

constexpr std::string_view kSuffix = ".safetensors";
constexpr std::size_t kMaxThreads = 8;

// The error for a shard that the index names but nobody finds.
Error missing_shard(const ShardIndex& index, std::uint32_t shard_idx, const Error& error) {
  const auto names = [&](const ShardIndex::Entry& entry) { return entry.shard_idx == shard_idx; };
  const auto first = std::find_if(index.entries.begin(), index.entries.end(), names);
  const auto num_tensors = std::count_if(first, index.entries.end(), names);
  return Error{ErrorCode::kNotFound, fmt::format("{}: tensor {}", error.where, quote_name(first->tensor)),
               fmt::format("no such file, but {} places this tensor{} in it; download the model again", kIndexFileName,
                           num_tensors > 1 ? fmt::format(" and {} more", num_tensors - 1) : "")};
}

// Reads the headers of some files on several threads; the constructing thread can do something else meanwhile and joins
// in at finish(). What goes wrong with a file is kept beside it.
class HeaderReaders {
 public:
  struct File {
    Shard shard;
    Status status;
  };

  HeaderReaders(const ModelRoot& root, const NameHasher& hasher, const std::vector<std::string>& names)
      : hasher_(hasher) {
    files_.reserve(names.size());
    for (const std::string& name : names) {
      auto file = root.open_file(name);
      if (file) {
        files_.push_back({{name, std::make_shared<const nvfp4::File>(std::move(file).value()), {}}, {}});
      } else {
        files_.push_back({{name, nullptr, {}}, std::move(file).error()});
      }
    }
    team_.emplace(std::min({files_.size() + 1, default_num_workers(), kMaxThreads}), [this] { work(); });
  }

  // In the order of the names.
  std::vector<File>& finish() {
    team_->join();
    return files_;
  }

 private:
  void work() {
    SafetensorsParser parser(hasher_);
    for (std::size_t i = next_++; i < files_.size(); i = next_++) {
      if (files_[i].shard.file == nullptr) continue;
      auto header = parser.read(*files_[i].shard.file);
      if (header) {
        files_[i].shard.header = std::move(header).value();
      } else {
        files_[i].status = std::move(header).error();
      }
    }
  }

  const NameHasher& hasher_;
  std::vector<File> files_;
  std::atomic<std::size_t> next_{0};
  std::optional<ThreadTeam> team_;  // last: its threads end before the rest goes
};

// Takes the files called `names` out of `read`; those that were not read yet are read now.
Status take_shards(const ModelRoot& root, const NameHasher& hasher, const std::vector<std::string>& names,
                   std::vector<HeaderReaders::File>& read, ShardSet& set) {
  set.shards.reserve(names.size());
  for (const std::string& name : names) {
    const auto same = [&](const HeaderReaders::File& file) { return file.shard.name == name; };
    auto it = std::find_if(read.begin(), read.end(), same);
    std::optional<HeaderReaders> late;  // a shard in a folder of its own, or one that is not there
    if (it == read.end()) {
      late.emplace(root, hasher, std::vector{name});
      it = late->finish().begin();
    }
    if (!it->status.ok()) {
      Error error = std::move(it->status).error();
      if (set.index && error.code == ErrorCode::kNotFound)
        return missing_shard(*set.index, static_cast<std::uint32_t>(set.shards.size()), error);
      return error;
    }
    set.shards.push_back(std::move(it->shard));
  }
  return {};
}

// The sum of the hashes of each shard's names by the index.
std::vector<NameSum> sum_names(const ShardIndex& index, const NameHasher& hasher) {
  std::vector<NameSum> sums(index.shards.size());
  for (const ShardIndex::Entry& entry : index.entries) sums[entry.shard_idx].add(hasher(entry.tensor));
  return sums;
}

void note_ignored(const std::vector<std::string>& present, const std::vector<Shard>& shards, const char* reason,
                  std::vector<Finding>& ignored) {
  for (const std::string& name : present) {
    const auto same = [&](const Shard& shard) { return shard.name == name; };
    if (std::none_of(shards.begin(), shards.end(), same)) ignored.push_back({name, reason});
  }
}

}  // namespace

Result<ShardSet> open_shard_set(const ModelRoot& root, const NameHasher& hasher) {
  ShardSet set;
  const auto present = root.list(kSuffix);
  if (!present) return present.error();

  const auto index_file = root.open_file(kIndexFileName);
  if (index_file) {
    // Which files the index names is known only when it is read; nearly always it is those that are there.
    HeaderReaders readers(root, hasher, *present);
    auto index = read_shard_index(*index_file);
    if (!index) return std::move(index).error();
    set.index = std::move(index).value();
    set.index_label = index_file->label();
    set.index_sums = sum_names(*set.index, hasher);
    NVFP4_RETURN_IF_ERROR(take_shards(root, hasher, set.index->shards, readers.finish(), set));
    note_ignored(*present, set.shards, "the index does not name this file: not read", set.ignored);
    return set;
  }
  if (index_file.error().code != ErrorCode::kNotFound) return index_file.error();
  if (present->empty()) {
    return Error{ErrorCode::kNotFound, root.path().string(),
                 fmt::format("has neither {} nor {} nor any other *{} file; give the folder that holds them",
                             kIndexFileName, kSingleFileName, kSuffix)};
  }
  const bool single = std::binary_search(present->begin(), present->end(), kSingleFileName);
  const std::vector<std::string> names = single ? std::vector<std::string>{kSingleFileName} : *present;
  HeaderReaders readers(root, hasher, names);
  NVFP4_RETURN_IF_ERROR(take_shards(root, hasher, names, readers.finish(), set));
  if (single) note_ignored(*present, set.shards, "model.safetensors is the model: this file is not read", set.ignored);
  return set;
}

}  // namespace nvfp4::checkpoint
