#include "checkpoint/tensor_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/checked_math.h"
#include "base/cpu_topology.h"
#include "base/file.h"
#include "base/large_pages.h"
#include "base/mapped_file.h"
#include "base/name_table.h"
#include "base/thread_team.h"
#include "checkpoint/model_root.h"
#include "checkpoint/shard_set.h"

namespace nvfp4::checkpoint {

struct TensorFiles::State {
  explicit State(NameHasher name_hasher) : hasher(name_hasher) {}

  NameHasher hasher;
  NameTable table;  // over tensors
  std::vector<SourceFile> files;
  LargeVector<StoredTensor> tensors;
  std::vector<Shard> shards;                            // [files]; their headers keep names and shapes
  std::vector<std::shared_ptr<const MappedFile>> maps;  // [files], or empty when nothing is mapped
  std::vector<Finding> conflicts;
  std::vector<Finding> ignored;

  Status take(ShardSet set, const ModelRoot& root);
  // Numbers of two tensors with the same name.
  struct Twins {
    std::uint32_t later = 0;
    std::uint32_t earlier = 0;
  };
  Status collect_tensors();
  void copy_tensors(std::size_t num_tensors);
  std::optional<Twins> fill_table(const std::vector<std::size_t>& begin);
  [[nodiscard]] Error twin_error(const StoredTensor& tensor, const StoredTensor& twin) const;
  [[nodiscard]] bool names_agree(const std::vector<NameSum>& index_sums) const;
  void check_total_size(const ShardIndex& index);
  Status compare_with_index(const ShardSet& set, const ShardIndex& index);
  Status map_files();
  void prefetch(const std::vector<std::uint64_t>& hashes, std::size_t at) const;
  [[nodiscard]] std::uint32_t index_of(std::string_view name, std::uint64_t hash) const;
  [[nodiscard]] Status check_range(const StoredTensor& tensor, std::uint64_t offset, std::uint64_t num_bytes) const;
};

Status TensorFiles::State::take(ShardSet set, const ModelRoot& root) {
  shards = std::move(set.shards);
  ignored = std::move(set.ignored);
  for (const Shard& shard : shards) files.push_back({root.path() / shard.name, shard.file->num_bytes()});
  const bool agree = set.index && names_agree(set.index_sums);
  NVFP4_RETURN_IF_ERROR(collect_tensors());
  if (set.index && !agree) NVFP4_RETURN_IF_ERROR(compare_with_index(set, *set.index));
  if (set.index) check_total_size(*set.index);
  return {};
}

bool TensorFiles::State::names_agree(const std::vector<NameSum>& index_sums) const {
  for (std::size_t i = 0; i < shards.size(); ++i) {
    NameSum sum;
    for (const std::uint64_t hash : shards[i].header.name_hashes) sum.add(hash);
    if (sum != index_sums[i]) return false;
  }
  return true;
}

Error TensorFiles::State::twin_error(const StoredTensor& tensor, const StoredTensor& twin) const {
  std::string where = fmt::format("{}: tensor {}", files[tensor.file_idx].path.string(), quote_name(tensor.name));
  if (twin.file_idx == tensor.file_idx)
    return Error{ErrorCode::kMalformed, std::move(where), "the header has this name twice"};
  return Error{
      ErrorCode::kContradiction, std::move(where),
      fmt::format("is also in {}; which of both is meant cannot be known: remove the file that does not belong to "
                  "the model",
                  shards[twin.file_idx].name)};
}

// One list and one table for all files, made side by side; the files' own lists go.
Status TensorFiles::State::collect_tensors() {
  std::vector<std::size_t> begin(shards.size() + 1);  // number of each shard's first tensor
  for (std::size_t i = 0; i < shards.size(); ++i) begin[i + 1] = begin[i] + shards[i].header.tensors.size();
  if (begin.back() >= NameTable::kNone) {
    return Error{ErrorCode::kUnsupported, files.front().path.parent_path().string(),
                 fmt::format("has {} tensors, more than this reader can number", begin.back())};
  }
  std::optional<Twins> twins;
  const std::size_t num_threads = begin.back() < 8192 ? 1 : std::min<std::size_t>(default_num_workers(), 2);
  parallel_ranges(2, num_threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t job = first; job < last; ++job) {
      if (job == 0) {
        copy_tensors(begin.back());
      } else {
        twins = fill_table(begin);
      }
    }
  });
  if (twins) return twin_error(tensors[twins->later], tensors[twins->earlier]);
  for (Shard& shard : shards) {
    shard.header.tensors = {};
    shard.header.name_hashes = {};
  }
  return {};
}

void TensorFiles::State::copy_tensors(std::size_t num_tensors) {
  tensors.reserve(num_tensors);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const StoredTensor& tensor : shards[i].header.tensors)
      tensors.emplace_back(tensor).file_idx = static_cast<std::uint32_t>(i);
  }
}

// Enters all names, up to the first that is there twice.
std::optional<TensorFiles::State::Twins> TensorFiles::State::fill_table(const std::vector<std::size_t>& begin) {
  // Names by number, from the files' own lists: the common one is being made.
  const auto name_of = [&](std::uint32_t number) {
    const auto shard =
        static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), number) - begin.begin()) - 1;
    return shards[shard].header.tensors[number - begin[shard]].name;
  };
  table = NameTable(begin.back());
  std::uint32_t number = 0;
  for (const Shard& shard : shards) {
    const SafetensorsHeader& header = shard.header;
    for (std::size_t i = 0; i < header.tensors.size(); ++i, ++number) {
      if (i + 8 < header.tensors.size()) table.prefetch(header.name_hashes[i + 8]);
      const auto same = [&](std::uint32_t other) { return name_of(other) == header.tensors[i].name; };
      const std::uint32_t twin = table.insert(header.name_hashes[i], number, same);
      if (twin != NameTable::kNone) return Twins{number, twin};
    }
  }
  return std::nullopt;
}

Status TensorFiles::State::compare_with_index(const ShardSet& set, const ShardIndex& index) {
  std::vector<bool> named(tensors.size());
  std::vector<std::uint64_t> hashes;
  hashes.reserve(index.entries.size());
  for (const ShardIndex::Entry& entry : index.entries) hashes.push_back(hasher(entry.tensor));
  for (std::size_t i = 0; i < index.entries.size(); ++i) {
    prefetch(hashes, i);
    const ShardIndex::Entry& entry = index.entries[i];
    const auto where = [&] { return fmt::format("{}: tensor {}", set.index_label, quote_name(entry.tensor)); };
    const std::uint32_t tensor_idx = index_of(entry.tensor, hashes[i]);
    const std::string& shard = shards[entry.shard_idx].name;
    if (tensor_idx == NameTable::kNone || tensors[tensor_idx].file_idx != entry.shard_idx) {
      const std::string place =
          tensor_idx == NameTable::kNone ? "no file has it" : "it is in " + shards[tensors[tensor_idx].file_idx].name;
      return Error{ErrorCode::kContradiction, where(),
                   fmt::format("the index places it in {}, but {}; download both again", shard, place)};
    }
    if (named[tensor_idx]) return Error{ErrorCode::kMalformed, where(), "the index has this name twice"};
    named[tensor_idx] = true;
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (named[i]) continue;
    conflicts.push_back({std::string(tensors[i].name),
                         fmt::format("in {}, but not in {}: kept", shards[tensors[i].file_idx].name, kIndexFileName)});
  }
  return {};
}

void TensorFiles::State::check_total_size(const ShardIndex& index) {
  std::uint64_t total_bytes = 0;
  for (const Shard& shard : shards) total_bytes += shard.header.num_tensor_bytes;
  if (index.total_size && *index.total_size != static_cast<double>(total_bytes)) {
    conflicts.push_back(
        {"metadata.total_size", fmt::format("{} says {:.0f} bytes, the tensors have {}: the tensors were believed",
                                            kIndexFileName, *index.total_size, total_bytes)});
  }
}

Status TensorFiles::State::map_files() {
  maps.reserve(shards.size());
  for (const Shard& shard : shards) {
    auto map = MappedFile::map(shard.file);
    if (!map) return std::move(map).error();
    maps.push_back(std::move(map).value());
  }
  return {};
}

// The searches for hashes[at + 8] and hashes[at + 16] are to find their memory in the cache: a table slot, then a
// tensor.
void TensorFiles::State::prefetch(const std::vector<std::uint64_t>& hashes, std::size_t at) const {
  if (at + 16 >= hashes.size()) return;
  table.prefetch(hashes[at + 16]);
  const std::uint32_t guess = table.first_guess(hashes[at + 8]);
  if (guess != NameTable::kNone) __builtin_prefetch(&tensors[guess]);
}

std::uint32_t TensorFiles::State::index_of(std::string_view name, std::uint64_t hash) const {
  return table.find(hash, [&](std::uint32_t other) { return tensors[other].name == name; });
}

Status TensorFiles::State::check_range(const StoredTensor& tensor, std::uint64_t offset,
                                       std::uint64_t num_bytes) const {
  const auto where = [&] { return fmt::format("tensor {}", quote_name(tensor.name)); };
  if (tensor.file_idx >= files.size() || tensor.begin > tensor.end || tensor.end > files[tensor.file_idx].num_bytes) {
    return Error{ErrorCode::kInvalidArgument, where(), "is not one of this checkpoint's tensors"};
  }
  const auto end = checked_add(offset, num_bytes);
  if (end && *end <= tensor.num_bytes()) return {};
  return Error{ErrorCode::kInvalidArgument, where(),
               fmt::format("has {} bytes: {} from byte {} on are not inside", tensor.num_bytes(), num_bytes, offset)};
}

TensorFiles::TensorFiles(std::unique_ptr<State> state) : state_(std::move(state)) {}
TensorFiles::TensorFiles(TensorFiles&&) noexcept = default;
TensorFiles& TensorFiles::operator=(TensorFiles&&) noexcept = default;
TensorFiles::~TensorFiles() = default;

Result<TensorFiles> TensorFiles::open(const std::filesystem::path& directory, LoadMode mode) {
  const auto root = ModelRoot::open(directory);
  if (!root) return root.error();
  auto state = std::make_unique<State>(NameHasher::random());
  auto set = open_shard_set(*root, state->hasher);
  if (!set) return std::move(set).error();
  NVFP4_RETURN_IF_ERROR(state->take(std::move(set).value(), *root));
  if (mode == LoadMode::kMap) NVFP4_RETURN_IF_ERROR(state->map_files());
  return TensorFiles(std::move(state));
}

std::span<const SourceFile> TensorFiles::files() const { return state_->files; }
std::span<const StoredTensor> TensorFiles::tensors() const { return state_->tensors; }
std::span<const Finding> TensorFiles::conflicts() const { return state_->conflicts; }
std::span<const Finding> TensorFiles::ignored() const { return state_->ignored; }

const StoredTensor* TensorFiles::find(std::string_view name) const {
  const std::uint32_t tensor_idx = state_->index_of(name, state_->hasher(name));
  return tensor_idx == NameTable::kNone ? nullptr : &state_->tensors[tensor_idx];
}

Result<TensorBytes> TensorFiles::bytes(const StoredTensor& tensor) const {
  return bytes(tensor, 0, tensor.num_bytes());
}

Result<TensorBytes> TensorFiles::bytes(const StoredTensor& tensor, std::uint64_t offset,
                                       std::uint64_t num_bytes) const {
  NVFP4_RETURN_IF_ERROR(state_->check_range(tensor, offset, num_bytes));
  if (!state_->maps.empty()) {
    const auto& map = state_->maps[tensor.file_idx];
    return TensorBytes{map->bytes().subspan(tensor.begin + offset, num_bytes), map};
  }
  auto* const memory = new (std::nothrow) std::byte[num_bytes];
  if (memory == nullptr) {
    return Error{ErrorCode::kIo,
                 fmt::format("{}: tensor {}", state_->shards[tensor.file_idx].file->label(), quote_name(tensor.name)),
                 fmt::format("no memory for {} of its bytes", num_bytes)};
  }
  const std::shared_ptr<std::byte[]> owner(memory);
  const std::span<std::byte> data(memory, num_bytes);
  NVFP4_RETURN_IF_ERROR(read(tensor, offset, data));
  return TensorBytes{data, owner};
}

Status TensorFiles::read(const StoredTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const {
  NVFP4_RETURN_IF_ERROR(state_->check_range(tensor, offset, out.size()));
  return state_->shards[tensor.file_idx].file->read_at(tensor.begin + offset, out);
}

Status TensorFiles::read_range(std::uint32_t file_idx, std::uint64_t begin, std::span<std::byte> out) const {
  if (file_idx >= state_->shards.size()) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("file {}", file_idx),
                 "is not one of this checkpoint's files"};
  }
  return state_->shards[file_idx].file->read_at(begin, out);
}

Status TensorFiles::verify() const {
  for (const auto& map : state_->maps) NVFP4_RETURN_IF_ERROR(map->verify());
  return {};
}

}  // namespace nvfp4::checkpoint
