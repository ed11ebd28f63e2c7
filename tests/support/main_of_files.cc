// The main() of an executable with the tests of several files: --file=x_test runs those of x_test.cc, of which a
// --gtest_filter may name fewer.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace {

// Takes the tests of all other files out of the filter; how many are of this one.
int keep_tests_of(std::string_view file) {
  int num_kept = 0;
  std::string others;
  const auto& tests = *testing::UnitTest::GetInstance();
  for (int i = 0; i < tests.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *tests.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& test = *suite.GetTestInfo(j);
      if (std::filesystem::path(test.file()).stem() == file) {
        ++num_kept;
      } else {
        others += std::string(":") + suite.name() + "." + test.name();
      }
    }
  }
  std::string filter = testing::GTEST_FLAG(filter);
  if (!others.empty()) {
    filter += filter.find('-') == std::string::npos ? "-" + others.substr(1) : others;
  }
  testing::GTEST_FLAG(filter) = filter;
  return num_kept;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  constexpr std::string_view kFile = "--file=";
  const std::string_view argument = argc == 2 ? argv[1] : "";
  if (!argument.starts_with(kFile)) {
    std::fprintf(stderr, "usage: %s --file=x_test [--gtest_...]\n", argv[0]);
    return 2;
  }
  const std::string_view file = argument.substr(kFile.size());
  if (keep_tests_of(file) == 0) {
    std::fprintf(stderr, "no tests of %s.cc are in here\n", std::string(file).c_str());
    return 1;
  }
  return RUN_ALL_TESTS();
}
