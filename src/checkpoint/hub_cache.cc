#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "base/file.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxRefBytes = 4096;
constexpr std::size_t kCommitDigits = 40;

// ORG/NAME[@REVISION]
struct HubId {
  std::string organisation;
  std::string name;
  std::string revision = "main";

  [[nodiscard]] std::string repository() const { return organisation + "/" + name; }
};

bool is_commit(std::string_view text) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == kCommitDigits && std::all_of(text.begin(), text.end(), is_hex);
}

// Letters, digits, and . _ - inside; neither "..", nor "--", which the cache's folder names use as a separator.
bool is_plain_name(std::string_view text) {
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
           c == '-';
  };
  return !text.empty() && text.size() <= 96 && std::all_of(text.begin(), text.end(), is_plain) && text.front() != '.' &&
         text.front() != '-' && text.find("..") == std::string_view::npos;
}

// Like "main", "v1.0" or "refs/pr/3".
bool is_revision(std::string_view text) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    if (!is_plain_name(text.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}

Result<HubId> parse_id(std::string_view text) {
  const auto fail = [&](std::string_view message) {
    return Error{ErrorCode::kInvalidArgument, quote_name(text), std::string(message)};
  };
  HubId id;
  const std::size_t at = text.find('@');
  const std::string_view repository = text.substr(0, at);
  const std::size_t slash = repository.find('/');
  if (slash == std::string_view::npos) {
    return fail("no such folder, and not a Hugging Face id either, which is ORG/NAME or ORG/NAME@REVISION");
  }
  id.organisation = repository.substr(0, slash);
  id.name = repository.substr(slash + 1);
  if (!is_plain_name(id.organisation) || !is_plain_name(id.name) || id.repository().find("--") != std::string::npos) {
    return fail("no such folder, and not a Hugging Face id either: ORG and NAME are letters, digits, '.', '_' and '-'");
  }
  if (at != std::string_view::npos) {
    id.revision = text.substr(at + 1);
    if (!is_revision(id.revision)) return fail("the revision after '@' is not a branch, tag or commit name");
  }
  return id;
}

std::string download_line(const HubId& id) {
  return "hf download " + id.repository() + (id.revision == "main" ? "" : " --revision " + id.revision);
}

bool folder_exists(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// The commits that are in the cache, for the error text: at most three.
std::string present_snapshots(const fs::path& snapshots) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(snapshots, error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (is_commit(name)) names.push_back(std::move(name));
  }
  if (names.empty()) return {};
  std::sort(names.begin(), names.end());
  names.resize(std::min<std::size_t>(names.size(), 3));
  return fmt::format(" (in the cache: {})", fmt::join(names, ", "));
}

Result<std::string> commit_of(const HubId& id, const fs::path& repository) {
  const fs::path ref = repository / "refs" / id.revision;
  auto text = read_text_file(ref, kMaxRefBytes);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) return std::move(text).error();
    return Error{ErrorCode::kNotFound, ref.string(),
                 fmt::format("revision {} of {} is not in the cache{}; run: {}", quote_name(id.revision),
                             id.repository(), present_snapshots(repository / "snapshots"), download_line(id))};
  }
  std::string& commit = *text;
  commit.erase(commit.find_last_not_of(" \t\r\n") + 1);
  if (!is_commit(commit)) {
    return Error{ErrorCode::kMalformed, ref.string(),
                 fmt::format("must hold a commit of 40 hexadecimal digits, not {}; run: {}",
                             quote_name(commit.substr(0, 64)), download_line(id))};
  }
  return text;
}

}  // namespace

Result<std::filesystem::path> resolve_model_directory(std::string_view directory_or_id,
                                                      const std::filesystem::path& hub_cache) {
  const fs::path path(directory_or_id);
  if (directory_or_id.empty() || directory_or_id.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::kInvalidArgument, quote_name(directory_or_id),
                 "give a model folder or a Hugging Face id ORG/NAME"};
  }
  if (folder_exists(path)) return path;
  std::error_code error;
  if (fs::exists(path, error)) {
    return Error{ErrorCode::kInvalidArgument, path.string(), "is a file; give the folder that holds the model's files"};
  }
  const auto id = parse_id(directory_or_id);
  if (!id) return id.error();

  const fs::path repository = hub_cache / fmt::format("models--{}--{}", id->organisation, id->name);
  if (!folder_exists(repository)) {
    return Error{ErrorCode::kNotFound, repository.string(),
                 fmt::format("no such folder: {} is not in the cache; run: {}", id->repository(), download_line(*id))};
  }
  std::string commit = id->revision;
  if (!is_commit(commit)) {
    auto found = commit_of(*id, repository);
    if (!found) return std::move(found).error();
    commit = std::move(found).value();
  }
  fs::path snapshot = repository / "snapshots" / commit;
  if (folder_exists(snapshot)) return snapshot;
  return Error{ErrorCode::kNotFound, snapshot.string(),
               fmt::format("no such folder: this snapshot of {} is not in the cache{}; run: {}", id->repository(),
                           present_snapshots(repository / "snapshots"), download_line(*id))};
}

}  // namespace nvfp4
