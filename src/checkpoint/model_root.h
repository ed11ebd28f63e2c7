// The folder of a model, and the only way to open its files: whatever a name says, the file lies in that folder, or in
// the blobs/ folder beside the snapshots of a Hugging Face cache.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "nvfp4/result.h"

namespace nvfp4::checkpoint {

class ModelRoot {
 public:
  [[nodiscard]] static Result<ModelRoot> open(const std::filesystem::path& directory);

  // `name` relative to the folder. Symbolic links are followed as long as they stay inside. kNotFound: no such file.
  [[nodiscard]] Result<File> open_file(std::string_view name) const;
  // The files of the folder itself whose names end with `suffix`, in name order.
  [[nodiscard]] Result<std::vector<std::string>> list(std::string_view suffix) const;
  // As the caller named the folder.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  ModelRoot(std::filesystem::path path, Directory root, std::optional<Directory> blobs)
      : path_(std::move(path)), root_(std::move(root)), blobs_(std::move(blobs)) {}

  std::filesystem::path path_;
  Directory root_;                  // its path is free of links
  std::optional<Directory> blobs_;  // likewise
};

}  // namespace nvfp4::checkpoint
