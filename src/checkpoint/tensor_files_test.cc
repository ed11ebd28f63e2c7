#include "checkpoint/tensor_files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace nvfp4::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kIndex = "model.safetensors.index.json";

// A safetensors file of U8 vectors: name -> content.
std::string file_of(const std::vector<std::pair<std::string, std::string>>& tensors) {
  std::string header = "{";
  std::string data;
  for (const auto& [name, content] : tensors) {
    header +=
        fmt::format(R"({}"{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}})", header.size() > 1 ? "," : "",
                    name, content.size(), data.size(), data.size() + content.size());
    data += content;
  }
  header += "}";
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return out + header + data;
}

std::string index_of(const std::vector<std::pair<std::string, std::string>>& weight_map,
                     std::string_view metadata = "{}") {
  std::string out = fmt::format(R"({{"metadata":{},"weight_map":{{)", metadata);
  for (std::size_t i = 0; i < weight_map.size(); ++i) {
    out += fmt::format(R"({}"{}":"{}")", i == 0 ? "" : ",", weight_map[i].first, weight_map[i].second);
  }
  return out + "}}";
}

std::string text_of(const TensorFiles& files, std::string_view name) {
  const StoredTensor* const tensor = files.find(name);
  if (tensor == nullptr) return "(absent)";
  const auto bytes = files.bytes(*tensor);
  if (!bytes) return bytes.error().to_string();
  return {reinterpret_cast<const char*>(bytes->data.data()), bytes->data.size()};
}

std::vector<std::string> names_of(std::span<const Finding> findings) {
  std::vector<std::string> names;
  for (const Finding& finding : findings) names.push_back(finding.name);
  return names;
}

// Opens in both modes, which must agree; answers the mapped one.
Result<TensorFiles> open(const std::filesystem::path& folder) {
  auto mapped = TensorFiles::open(folder, LoadMode::kMap);
  const auto read = TensorFiles::open(folder, LoadMode::kRead);
  EXPECT_EQ(mapped.ok(), read.ok());
  if (!mapped.ok() && !read.ok()) {
    EXPECT_EQ(mapped.error().to_string(), read.error().to_string());
  }
  return mapped;
}

class TensorFilesTest : public ::testing::Test {
 protected:
  void write_two_shards(const std::string& metadata = R"({"total_size":9})") const {
    folder_.write("m-1.safetensors", file_of({{"a", "aaaa"}, {"b", "bb"}}));
    folder_.write("m-2.safetensors", file_of({{"c", "ccc"}}));
    folder_.write(kIndex,
                  index_of({{"c", "m-2.safetensors"}, {"a", "m-1.safetensors"}, {"b", "m-1.safetensors"}}, metadata));
  }

  support::TemporaryDirectory folder_;
};

TEST_F(TensorFilesTest, ReadsAShardedModel) {
  write_two_shards();
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
    const auto files = TensorFiles::open(folder_.path(), mode);
    ASSERT_TRUE(files.ok()) << files.error().to_string();
    EXPECT_EQ(files->files().size(), 2U);
    EXPECT_EQ(files->files()[0].path, folder_.path() / "m-1.safetensors");
    EXPECT_EQ(files->files()[1].num_bytes, std::filesystem::file_size(folder_.path() / "m-2.safetensors"));
    ASSERT_EQ(files->tensors().size(), 3U);
    EXPECT_EQ(files->tensors()[2].name, "c");
    EXPECT_EQ(files->tensors()[2].file_idx, 1U);
    EXPECT_EQ(files->find("c"), &files->tensors()[2]);
    EXPECT_EQ(files->find("d"), nullptr);
    EXPECT_EQ(text_of(*files, "a"), "aaaa");
    EXPECT_EQ(text_of(*files, "b"), "bb");
    EXPECT_EQ(text_of(*files, "c"), "ccc");
    EXPECT_THAT(files->conflicts(), IsEmpty());
    EXPECT_THAT(files->ignored(), IsEmpty());
    EXPECT_TRUE(files->verify().ok());
  }
}

TEST_F(TensorFilesTest, ReadsPartsOfTensorsAndFiles) {
  folder_.write("model.safetensors", file_of({{"a", "0123456789"}}));
  const auto files = open(folder_.path());
  ASSERT_TRUE(files.ok());
  const StoredTensor& a = *files->find("a");
  std::string out(3, '?');
  EXPECT_TRUE(files->read(a, 7, std::as_writable_bytes(std::span(out))).ok());
  EXPECT_EQ(out, "789");
  EXPECT_TRUE(files->read_range(0, a.begin + 1, std::as_writable_bytes(std::span(out))).ok());
  EXPECT_EQ(out, "123");
  EXPECT_THAT(files->read(a, 8, std::as_writable_bytes(std::span(out))).error().to_string(), HasSubstr("tensor \"a\""));
  EXPECT_FALSE(files->read(a, ~std::uint64_t{0}, std::as_writable_bytes(std::span(out))).ok());
  EXPECT_FALSE(files->read_range(1, 0, std::as_writable_bytes(std::span(out))).ok());
  EXPECT_FALSE(files->read_range(0, files->files()[0].num_bytes - 2, std::as_writable_bytes(std::span(out))).ok());
  StoredTensor foreign = a;
  foreign.end = files->files()[0].num_bytes + 1;
  EXPECT_FALSE(files->bytes(foreign).ok());
  foreign.file_idx = 7;
  EXPECT_FALSE(files->bytes(foreign).ok());
}

TEST_F(TensorFilesTest, BytesOutliveTheFiles) {
  folder_.write("model.safetensors", file_of({{"a", "0123456789"}}));
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
    TensorBytes bytes;
    {
      const auto files = TensorFiles::open(folder_.path(), mode);
      bytes = files->bytes(*files->find("a")).value();
    }
    EXPECT_EQ(static_cast<char>(bytes.data[9]), '9');
  }
}

TEST_F(TensorFilesTest, WithoutAnIndexTakesTheSingleFile) {
  folder_.write("model.safetensors", file_of({{"a", "x"}}));
  folder_.write("adapter.safetensors", file_of({{"b", "x"}}));
  const auto files = open(folder_.path());
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->tensors().size(), 1U);
  EXPECT_THAT(names_of(files->ignored()), ElementsAre("adapter.safetensors"));
}

TEST_F(TensorFilesTest, WithoutIndexAndSingleFileTakesAllInNameOrder) {
  folder_.write("z.safetensors", file_of({{"z", "x"}}));
  folder_.write("b.safetensors", file_of({{"y", "x"}, {"a", "x"}}));
  const auto files = open(folder_.path());
  ASSERT_TRUE(files.ok());
  std::vector<std::string_view> names;
  for (const StoredTensor& tensor : files->tensors()) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("y", "a", "z"));
}

TEST_F(TensorFilesTest, SaysWhatItLookedForInVain) {
  for (const auto& path : {folder_.path(), folder_.path() / "absent"}) {
    const auto files = open(path);
    ASSERT_FALSE(files.ok());
    EXPECT_EQ(files.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(files.error().where, path.string());
  }
  EXPECT_THAT(open(folder_.path()).error().message,
              HasSubstr("neither model.safetensors.index.json nor model.safetensors nor any other *.safetensors"));
  EXPECT_FALSE(open(folder_.write("f", "x")).ok());
}

TEST_F(TensorFilesTest, ReportsWhatTheIndexDoesNotSay) {
  write_two_shards(R"({"total_size":8})");
  folder_.write("m-1.safetensors", file_of({{"a", "aaaa"}, {"b", "bb"}, {"extra", "x"}}));
  folder_.write("consolidated.safetensors", "not even a safetensors file");
  const auto files = open(folder_.path());
  ASSERT_TRUE(files.ok()) << files.error().to_string();
  EXPECT_THAT(names_of(files->conflicts()), ElementsAre("extra", "metadata.total_size"));
  EXPECT_THAT(files->conflicts()[1].message, HasSubstr("says 8 bytes, the tensors have 10"));
  EXPECT_THAT(names_of(files->ignored()), ElementsAre("consolidated.safetensors"));
  EXPECT_EQ(text_of(*files, "extra"), "x");
}

TEST_F(TensorFilesTest, RefusesContradictions) {
  struct Case {
    std::map<std::string, std::string> files;
    ErrorCode code;
    std::string where;  // below the folder
    std::string message;
  };
  const std::string a = file_of({{"a", "x"}});
  const std::string b = file_of({{"b", "x"}});
  const std::vector<Case> cases = {
      {{{kIndex, index_of({{"a", "m1"}, {"b", "m2"}, {"c", "m2"}})}, {"m1", a}},
       ErrorCode::kNotFound,
       R"(m2: tensor "b")",
       "no such file, but model.safetensors.index.json places this tensor and 1 more in it"},
      {{{kIndex, index_of({{"a", "m1"}, {"c", "m1"}})}, {"m1", a}},
       ErrorCode::kContradiction,
       std::string(kIndex) + R"(: tensor "c")",
       "places it in m1, but no file has it"},
      {{{kIndex, index_of({{"a", "m2"}, {"b", "m2"}, {"a2", "m1"}})}, {"m1", a}, {"m2", b}},
       ErrorCode::kContradiction,
       std::string(kIndex) + R"(: tensor "a")",
       "places it in m2, but it is in m1"},
      {{{kIndex, index_of({{"a", "m1"}, {"a", "m1"}})}, {"m1", a}},
       ErrorCode::kMalformed,
       std::string(kIndex) + R"(: tensor "a")",
       "this name twice"},
      {{{kIndex, index_of({{"a", "m1"}, {"b", "m2"}})}, {"m1", a}, {"m2", file_of({{"b", "x"}, {"a", "x"}})}},
       ErrorCode::kContradiction,
       R"(m2: tensor "a")",
       "is also in m1"},
      {{{"x.safetensors", a}, {"y.safetensors", a}},
       ErrorCode::kContradiction,
       R"(y.safetensors: tensor "a")",
       "is also in x.safetensors"},
      {{{"model.safetensors", file_of({{"a", ""}, {"a", ""}})}},
       ErrorCode::kMalformed,
       R"(model.safetensors: tensor "a")",
       "this name twice"},
      {{{kIndex, index_of({{"a", "m1"}, {"b", "m2"}})}, {"m1", a}, {"m2", b.substr(0, b.size() - 1)}},
       ErrorCode::kMalformed,
       R"(m2: tensor "b")",
       "1 are missing"},
      {{{kIndex, index_of({{"a", "m1"}})}, {"m1", ""}}, ErrorCode::kMalformed, "m1", "is empty"},
      {{{kIndex, "version https://git-lfs.github.com/spec/v1\n"}, {"model.safetensors", a}},
       ErrorCode::kMalformed,
       kIndex,
       "git lfs pull"},
      {{{kIndex, index_of({{"a", "sub"}})}, {"sub/f", a}}, ErrorCode::kIo, "sub", "is a folder"},
  };
  for (const Case& c : cases) {
    const support::TemporaryDirectory folder;
    for (const auto& [name, content] : c.files) folder.write(name, content);
    const auto files = open(folder.path());
    ASSERT_FALSE(files.ok()) << c.message;
    EXPECT_EQ(files.error().code, c.code) << files.error().to_string();
    EXPECT_EQ(files.error().where, (folder.path() / c.where).string()) << files.error().to_string();
    EXPECT_THAT(files.error().message, HasSubstr(c.message)) << files.error().to_string();
  }
}

TEST_F(TensorFilesTest, ReadsShardsInSubfoldersAndBehindLinksThatStayInside) {
  folder_.write("sub/m1", file_of({{"a", "x"}}));
  folder_.write("hidden/m2", file_of({{"b", "y"}}));
  std::filesystem::create_symlink("hidden/m2", folder_.path() / "m2");
  folder_.write(kIndex, index_of({{"a", "sub/m1"}, {"b", "m2"}}));
  const auto files = open(folder_.path());
  ASSERT_TRUE(files.ok()) << files.error().to_string();
  EXPECT_EQ(text_of(*files, "b"), "y");
}

TEST_F(TensorFilesTest, RefusesLinksOutOfTheFolderPipesAndDanglingLinks) {
  const support::TemporaryDirectory elsewhere;
  elsewhere.write("secret", file_of({{"a", "x"}}));
  std::filesystem::create_symlink(elsewhere.path() / "secret", folder_.path() / "model.safetensors");
  EXPECT_THAT(open(folder_.path()).error().message, HasSubstr("outside of the model folder"));
  std::filesystem::remove(folder_.path() / "model.safetensors");

  std::filesystem::create_directory_symlink(elsewhere.path(), folder_.path() / "sub");
  folder_.write(kIndex, index_of({{"a", "sub/secret"}}));
  EXPECT_THAT(open(folder_.path()).error().message, HasSubstr("outside of the model folder"));
  std::filesystem::remove(folder_.path() / kIndex);

  ASSERT_EQ(::mkfifo((folder_.path() / "model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(open(folder_.path()).error().message, HasSubstr("not a regular file"));
  std::filesystem::remove(folder_.path() / "model.safetensors");

  std::filesystem::create_symlink("../../blobs/absent", folder_.path() / "model.safetensors");
  EXPECT_THAT(open(folder_.path()).error().message, HasSubstr("\"../../blobs/absent\", which cannot be opened"));
}

TEST_F(TensorFilesTest, FollowsTheLinksOfAHuggingFaceCacheOnly) {
  const auto snapshot = folder_.path() / "models--o--n/snapshots/r";
  folder_.write("models--o--n/blobs/1234", file_of({{"a", "x"}}));
  folder_.write("models--other--n/blobs/1234", file_of({{"a", "x"}}));
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_symlink("../../blobs/1234", snapshot / "model.safetensors");
  EXPECT_TRUE(open(snapshot).ok());
  std::filesystem::create_directory_symlink(snapshot, folder_.path() / "linked");
  EXPECT_TRUE(open(folder_.path() / "linked").ok());

  std::filesystem::remove(snapshot / "model.safetensors");
  std::filesystem::create_symlink("../../../models--other--n/blobs/1234", snapshot / "model.safetensors");
  EXPECT_THAT(open(snapshot).error().message, HasSubstr("outside of the model folder"));

  const auto lookalike = folder_.path() / "data/snapshots/r";
  folder_.write("data/blobs/1234", file_of({{"a", "x"}}));
  std::filesystem::create_directories(lookalike);
  std::filesystem::create_symlink("../../blobs/1234", lookalike / "model.safetensors");
  EXPECT_THAT(open(lookalike).error().message, HasSubstr("outside of the model folder"));
}

TEST_F(TensorFilesTest, AShrinkingFileIsAnErrorAndNoSignal) {
  const std::string content(100'000, 'x');
  folder_.write("model.safetensors", file_of({{"a", content}}));
  const auto mapped = TensorFiles::open(folder_.path(), LoadMode::kMap);
  const auto read = TensorFiles::open(folder_.path(), LoadMode::kRead);
  const std::string before = text_of(*read, "a");
  std::filesystem::resize_file(folder_.path() / "model.safetensors", 5000);
  EXPECT_EQ(before, content);
  EXPECT_EQ(text_of(*mapped, "a").back(), '\0');
  ASSERT_FALSE(mapped->verify().ok());
  EXPECT_THAT(mapped->verify().error().where, StartsWith((folder_.path() / "model.safetensors").string()));
  EXPECT_THAT(text_of(*read, "a"), HasSubstr("shrank while being read"));
}

TEST_F(TensorFilesTest, ReadsManyShards) {
  std::vector<std::pair<std::string, std::string>> weight_map;
  for (int shard = 0; shard < 40; ++shard) {
    std::vector<std::pair<std::string, std::string>> tensors;
    for (int i = 0; i < 50; ++i) {
      tensors.emplace_back(fmt::format("t.{}.{}", shard, i), fmt::format("{}/{}", shard, i));
      weight_map.emplace_back(tensors.back().first, fmt::format("m-{:03}", shard));
    }
    folder_.write(fmt::format("m-{:03}", shard), file_of(tensors));
  }
  folder_.write(kIndex, index_of(weight_map));
  const auto files = open(folder_.path());
  ASSERT_TRUE(files.ok()) << files.error().to_string();
  for (int shard = 0; shard < 40; ++shard) {
    for (int i = 0; i < 50; ++i)
      ASSERT_EQ(text_of(*files, fmt::format("t.{}.{}", shard, i)), fmt::format("{}/{}", shard, i));
  }
  // Of several broken shards, the first one is named, whichever thread comes first.
  for (int shard = 7; shard < 40; ++shard) folder_.write(fmt::format("m-{:03}", shard), "");
  EXPECT_EQ(open(folder_.path()).error().where, (folder_.path() / "m-007").string());
}

}  // namespace
}  // namespace nvfp4::checkpoint
