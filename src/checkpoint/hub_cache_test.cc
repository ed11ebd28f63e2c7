#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nvfp4/checkpoint.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using ::testing::HasSubstr;

const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";
const std::string kOther = "89abcdef0123456789abcdef0123456789abcdef";

class HubCache : public ::testing::Test {
 protected:
  HubCache() {
    cache_.write("models--org--name/refs/main", kCommit);
    cache_.write("models--org--name/refs/v1.0", kOther + "\n");
    cache_.write("models--org--name/refs/refs/pr/3", kOther);
    cache_.write("models--org--name/refs/gone", "ffffffffffffffffffffffffffffffffffffffff");
    cache_.write("models--org--name/refs/bad", "not a commit");
    cache_.write("models--org--name/refs/up", "../../../../../etc/aaaaaaaaaaaaaaaaaaaaaaa");
    cache_.write("models--org--name/refs/empty", "");
    cache_.write("models--org--name/refs/big", std::string(10'000, 'a'));
    cache_.write("models--org--name/snapshots/" + kCommit + "/config.json", "{}");
    cache_.write("models--org--name/snapshots/" + kOther + "/config.json", "{}");
    cache_.write("models--org--without_main/snapshots/" + kOther + "/config.json", "{}");
  }

  [[nodiscard]] std::filesystem::path snapshot(const std::string& commit) const {
    return cache_.path() / "models--org--name/snapshots" / commit;
  }

  support::TemporaryDirectory cache_;
};

TEST_F(HubCache, FindsSnapshots) {
  EXPECT_EQ(resolve_model_directory("org/name", cache_.path()).value(), snapshot(kCommit));
  EXPECT_EQ(resolve_model_directory("org/name@main", cache_.path()).value(), snapshot(kCommit));
  EXPECT_EQ(resolve_model_directory("org/name@v1.0", cache_.path()).value(), snapshot(kOther));
  EXPECT_EQ(resolve_model_directory("org/name@refs/pr/3", cache_.path()).value(), snapshot(kOther));
  EXPECT_EQ(resolve_model_directory("org/name@" + kOther, cache_.path()).value(), snapshot(kOther));
}

TEST_F(HubCache, AnExistingFolderWins) {
  const support::TemporaryDirectory folder;
  folder.write("org/name/config.json", "{}");
  const std::string path = (folder.path() / "org/name").string();
  EXPECT_EQ(resolve_model_directory(path, cache_.path()).value(), path);
}

TEST_F(HubCache, SaysWhatToDo) {
  struct Case {
    std::string id;
    ErrorCode code;
    std::string where;
    std::string message;
  };
  const std::string repository = (cache_.path() / "models--org--name").string();
  const std::vector<Case> cases = {
      {"org/absent", ErrorCode::kNotFound, (cache_.path() / "models--org--absent").string(),
       "run: hf download org/absent"},
      {"org/name@absent", ErrorCode::kNotFound, repository + "/refs/absent",
       "run: hf download org/name --revision absent"},
      {"org/without_main", ErrorCode::kNotFound, (cache_.path() / "models--org--without_main/refs/main").string(),
       "(in the cache: " + kOther + ")"},
      {"org/name@gone", ErrorCode::kNotFound, repository + "/snapshots/ffffffffffffffffffffffffffffffffffffffff",
       "this snapshot of org/name is not in the cache"},
      {"org/name@" + std::string(40, 'a'), ErrorCode::kNotFound, repository + "/snapshots/" + std::string(40, 'a'),
       "hf download org/name --revision aaaa"},
      {"org/name@bad", ErrorCode::kMalformed, repository + "/refs/bad", R"(not "not a commit")"},
      {"org/name@up", ErrorCode::kMalformed, repository + "/refs/up", "40 hexadecimal digits"},
      {"org/name@empty", ErrorCode::kMalformed, repository + "/refs/empty", "40 hexadecimal digits"},
      {"org/name@big", ErrorCode::kMalformed, repository + "/refs/big", "more than"},
      {"org/name@refs", ErrorCode::kIo, repository + "/refs/refs", "is a folder"},
  };
  for (const Case& c : cases) {
    const auto path = resolve_model_directory(c.id, cache_.path());
    ASSERT_FALSE(path.ok()) << c.id;
    EXPECT_EQ(path.error().code, c.code) << path.error().to_string();
    EXPECT_EQ(path.error().where, c.where) << path.error().to_string();
    EXPECT_THAT(path.error().message, HasSubstr(c.message)) << path.error().to_string();
  }
}

TEST_F(HubCache, RefusesWhatIsNoId) {
  const std::vector<std::string> ids = {"",
                                        "name",
                                        "../name",
                                        "org/..",
                                        "org/name/more",
                                        "/absent/folder",
                                        "./absent",
                                        "org/",
                                        "/name",
                                        "org//name",
                                        "org/na--me",
                                        "org--x/name",
                                        "org/.name",
                                        "org/-name",
                                        "org/na me",
                                        "org/na\nme",
                                        "org/name@",
                                        "org/name@../main",
                                        "org/name@refs/../main",
                                        "org/name@/main",
                                        "org/name@main/",
                                        "org/name@a@b",
                                        std::string("org/na\0me", 9),
                                        "org/" + std::string(200, 'n')};
  for (const std::string& id : ids) {
    const auto path = resolve_model_directory(id, cache_.path());
    ASSERT_FALSE(path.ok()) << id;
    EXPECT_EQ(path.error().code, ErrorCode::kInvalidArgument) << path.error().to_string();
    EXPECT_EQ(path.error().to_string().find('\n'), std::string::npos);
  }
  EXPECT_THAT(
      resolve_model_directory((cache_.path() / "models--org--name/refs/main").string(), cache_.path()).error().message,
      HasSubstr("is a file; give the folder"));
}

}  // namespace
}  // namespace nvfp4
