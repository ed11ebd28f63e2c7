#include "checkpoint/safetensors_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "support/temporary_directory.h"

namespace nvfp4::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<ShardIndex> parse(std::string_view text) { return parse_shard_index("index.json", JsonText(text)); }

TEST(ShardIndex, ReadsEntriesAndSortsShards) {
  const auto index = parse(R"({"metadata":{"total_size":30,"x":[]},"weight_map":{"a":"m2","b":"m1","c":"m2"},"y":{}})");
  ASSERT_TRUE(index.ok()) << index.error().to_string();
  EXPECT_THAT(index->shards, ElementsAre("m1", "m2"));
  ASSERT_EQ(index->entries.size(), 3U);
  EXPECT_EQ(index->entries[0].tensor, "a");
  EXPECT_EQ(index->entries[0].shard_idx, 1U);
  EXPECT_EQ(index->entries[1].shard_idx, 0U);
  EXPECT_EQ(index->entries[2].shard_idx, 1U);
  EXPECT_EQ(index->total_size, 30.0);
}

TEST(ShardIndex, AcceptsWhatIsUnusualButHarmless) {
  EXPECT_EQ(parse(R"({"weight_map":{"a":"sub/m"},"metadata":{"total_size":1.5e10}})")->total_size, 1.5e10);
  EXPECT_EQ(parse(R"({"weight_map":{"a":"m"},"metadata":{"total_size":"30"}})")->total_size, std::nullopt);
  EXPECT_EQ(parse(R"({"weight_map":{"a":"m"},"metadata":null})")->total_size, std::nullopt);
  EXPECT_EQ(parse(R"({"weight_map":{"\u0061":"\u006d"}})")->entries[0].tensor, "a");
  EXPECT_THAT(parse(R"({"weight_map":{"a":"..m..","b":"m\\x"}})")->shards, ElementsAre("..m..", "m\\x"));
}

TEST(ShardIndex, RefusesMalformedIndexes) {
  struct Case {
    std::string text;
    std::string where;  // after the label
    std::string message;
  };
  const std::string a = R"(: weight_map: tensor "a")";
  const std::vector<Case> cases = {
      {"", "", "is empty"},
      {"version https://git-lfs.github.com/spec/v1\n", "", "run git lfs pull"},
      {"<!doctype html>", "", "HTML page"},
      {"[]", "", "is not a JSON object"},
      {"{", "", "not valid JSON"},
      {R"({"weight_map":{"a":"m"}} x)", "", "not valid JSON"},
      {R"({"weight_map":{"a":"m"}}})", "", "something follows"},
      {"{}", "", "has no weight_map"},
      {R"({"weight_map":{}})", ": weight_map", "names no tensor"},
      {R"({"weight_map":[]})", ": weight_map", "must be an object"},
      {R"({"weight_map":"m"})", ": weight_map", "must be an object"},
      {R"({"weight_map":{"a":"m"},"weight_map":{"a":"m"}})", ": weight_map", "is there twice"},
      {R"({"metadata":{},"metadata":{}})", ": metadata", "is there twice"},
      {R"({"metadata":{"total_size":1e999}})", ": metadata", "too large"},
      {R"({"metadata":{"total_size":01}})", ": metadata", "malformed"},
      {R"({"x":[1,2,nul]})", "", "unknown word"},
      {R"({"weight_map":{"a":1}})", a, "must be a string"},
      {R"({"weight_map":{"a":null}})", a, "must be a string"},
      {R"({"weight_map":{"a":["m"]}})", a, "must be a string"},
      {R"({"weight_map":{"a":"m":"n"}})", ": weight_map", "not valid JSON"},
      {R"({"weight_map":{"a":""}})", a, R"(its file name "" is empty)"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", a, R"("/etc/passwd" is an absolute path)"},
      {R"({"weight_map":{"a":"../m"}})", a, "leaves the model folder"},
      {R"({"weight_map":{"a":"sub/../../m"}})", a, "leaves the model folder"},
      {R"({"weight_map":{"a":"sub/.."}})", a, "leaves the model folder"},
      {R"({"weight_map":{"a":"\u002e\u002e/m"}})", a, "leaves the model folder"},
      {R"({"weight_map":{"a":"./m"}})", a, "not a plain relative path"},
      {R"({"weight_map":{"a":"sub//m"}})", a, "not a plain relative path"},
      {R"({"weight_map":{"a":"sub/"}})", a, "not a plain relative path"},
      {R"({"weight_map":{"a":"m\u0000.safetensors"}})", a, "NUL"},
      {R"({"weight_map":{"a":"\ud800"}})", a, "half a surrogate pair"},
      {"{\"weight_map\":{\"a\":\"\xff\"}}", "", "not valid JSON"},
  };
  for (const Case& c : cases) {
    const auto index = parse(c.text);
    ASSERT_FALSE(index.ok()) << c.text;
    EXPECT_EQ(index.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(index.error().where, "index.json" + c.where) << index.error().to_string();
    EXPECT_THAT(index.error().message, HasSubstr(c.message)) << index.error().to_string();
  }
}

TEST(ShardIndex, ReadsAFile) {
  const support::TemporaryDirectory folder;
  const auto file = File::open(folder.write("i.json", R"({"weight_map":{"a":"m"}})"));
  const auto index = read_shard_index(*file);
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(index->entries[0].tensor, "a");
}

}  // namespace
}  // namespace nvfp4::checkpoint
