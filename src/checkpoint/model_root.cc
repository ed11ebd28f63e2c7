#include "checkpoint/model_root.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace nvfp4::checkpoint {
namespace {

namespace fs = std::filesystem;

// What of `path` lies below `base`, both free of links; nothing when it is elsewhere.
std::optional<fs::path> below(const fs::path& path, const fs::path& base) {
  const auto [path_rest, base_rest] = std::mismatch(path.begin(), path.end(), base.begin(), base.end());
  if (base_rest != base.end() || path_rest == path.end()) return std::nullopt;
  fs::path rest;
  for (auto part = path_rest; part != path.end(); ++part) rest /= *part;
  return rest;
}

// <cache>/models--ORG--NAME/blobs for a folder in or below <cache>/models--ORG--NAME/snapshots/<revision>.
std::optional<Directory> blobs_of(const fs::path& real_root) {
  for (fs::path at = real_root; at.has_relative_path(); at = at.parent_path()) {
    const fs::path snapshots = at.parent_path();
    if (snapshots.filename() != "snapshots") continue;
    const fs::path repository = snapshots.parent_path();
    if (!repository.filename().string().starts_with("models--")) continue;
    std::error_code error;
    const fs::path blobs = fs::canonical(repository / "blobs", error);
    if (error) return std::nullopt;
    auto directory = Directory::open(blobs);
    if (!directory) return std::nullopt;
    return std::move(directory).value();
  }
  return std::nullopt;
}

}  // namespace

Result<ModelRoot> ModelRoot::open(const fs::path& directory) {
  std::error_code error;
  const fs::path real_root = fs::canonical(directory, error);
  if (error) {
    return Error{ErrorCode::kNotFound, directory.string(),
                 fmt::format("cannot open the model folder: {}", error.message())};
  }
  auto root = Directory::open(real_root);
  if (!root) {
    return Error{root.error().code, directory.string(),
                 root.error().message + "; give the folder that holds the safetensors files"};
  }
  return ModelRoot(directory, std::move(root).value(), blobs_of(real_root));
}

Result<File> ModelRoot::open_file(std::string_view name) const {
  const fs::path asked = fs::path(name).lexically_normal();
  const std::string label = (path_ / name).string();
  if (asked.empty() || asked.is_absolute() || *asked.begin() == ".." || name.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::kInvalidArgument, label, "is not a path inside the model folder"};
  }
  std::error_code error;
  const fs::path link = root_.path() / asked;
  const fs::path real = fs::canonical(link, error);
  if (error) {
    const bool dangling = fs::is_symlink(fs::symlink_status(link, error));
    if (dangling) {
      return Error{ErrorCode::kIo, label,
                   fmt::format("is a symbolic link to {}, which cannot be opened; download it again",
                               quote_name(fs::read_symlink(link, error).string()))};
    }
    return Error{ErrorCode::kNotFound, label, "no such file"};
  }
  if (const auto rest = below(real, root_.path())) return File::open_beneath(root_, *rest, label);
  if (blobs_) {
    if (const auto rest = below(real, blobs_->path())) return File::open_beneath(*blobs_, *rest, label);
  }
  return Error{ErrorCode::kInvalidArgument, label,
               fmt::format("is a symbolic link to {}, outside of the model folder; put the file itself there",
                           quote_name(real.string()))};
}

Result<std::vector<std::string>> ModelRoot::list(std::string_view suffix) const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(root_.path(), error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.ends_with(suffix)) names.push_back(std::move(name));
  }
  if (error) return Error{ErrorCode::kIo, path_.string(), fmt::format("cannot list the folder: {}", error.message())};
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace nvfp4::checkpoint
