#include "checkpoint/shard_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <utility>

namespace nvfp4::checkpoint {
namespace {

constexpr std::string_view kSuffix = ".safetensors";
constexpr std::size_t kMaxThreads = 8;

// The error for a shard that is named but not there.
Error missing_shard(const ShardSet& set, std::uint32_t shard_idx, const Error& error) {
  const auto names = [&](const ShardIndex::Entry& entry) { return entry.shard_idx == shard_idx; };
  const auto& entries = set.index->entries;
  const auto first = std::find_if(entries.begin(), entries.end(), names);
  const auto num_tensors = std::count_if(first, entries.end(), names);
  return Error{ErrorCode::kNotFound, fmt::format("{}: tensor {}", error.where, quote_name(first->tensor)),
               fmt::format("no such file, but {} places this tensor{} in it; download the model again", kIndexFileName,
                           num_tensors > 1 ? fmt::format(" and {} more", num_tensors - 1) : "")};
}

Status open_files(const ModelRoot& root, std::vector<std::string> names, ShardSet& set) {
  for (std::string& name : names) {
    auto file = root.open_file(name);
    if (!file) {
      if (set.index && file.error().code == ErrorCode::kNotFound) {
        return missing_shard(set, static_cast<std::uint32_t>(set.shards.size()), file.error());
      }
      return file.error();
    }
    set.shards.push_back({std::move(name), std::make_shared<const File>(std::move(file).value()), {}});
  }
  return {};
}

// Reads all headers, on several threads when there are several. Answers the first shard's error.
Status read_headers(const NameHasher& hasher, std::vector<Shard>& shards) {
  std::vector<Status> statuses(shards.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    SafetensorsParser parser(hasher);
    for (std::size_t i = next++; i < shards.size(); i = next++) {
      auto header = parser.read(*shards[i].file);
      if (header) {
        shards[i].header = std::move(header).value();
      } else {
        statuses[i] = std::move(header).error();
      }
    }
  };
  const std::size_t num_threads = std::min(
      {shards.size(), static_cast<std::size_t>(std::max(1U, std::thread::hardware_concurrency())), kMaxThreads});
  {
    std::vector<std::jthread> helpers;
    try {
      while (helpers.size() + 1 < num_threads) helpers.emplace_back(work);
    } catch (const std::system_error&) {
      // No more threads to be had: those that started, or this one alone, do all the work.
    }
    work();
  }
  for (Status& status : statuses) NVFP4_RETURN_IF_ERROR(std::move(status));
  return {};
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
    auto index = read_shard_index(*index_file);
    if (!index) return std::move(index).error();
    set.index = std::move(index).value();
    set.index_label = index_file->label();
    NVFP4_RETURN_IF_ERROR(open_files(root, set.index->shards, set));
    note_ignored(*present, set.shards, "the index does not name this file: not read", set.ignored);
  } else if (index_file.error().code != ErrorCode::kNotFound) {
    return index_file.error();
  } else if (std::binary_search(present->begin(), present->end(), kSingleFileName)) {
    NVFP4_RETURN_IF_ERROR(open_files(root, {kSingleFileName}, set));
    note_ignored(*present, set.shards, "model.safetensors is the model: this file is not read", set.ignored);
  } else if (!present->empty()) {
    NVFP4_RETURN_IF_ERROR(open_files(root, *present, set));
  } else {
    return Error{ErrorCode::kNotFound, root.path().string(),
                 fmt::format("has neither {} nor {} nor any other *{} file; give the folder that holds them",
                             kIndexFileName, kSingleFileName, kSuffix)};
  }
  NVFP4_RETURN_IF_ERROR(read_headers(hasher, set.shards));
  return set;
}

}  // namespace nvfp4::checkpoint
