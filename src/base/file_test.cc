#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <atomic>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using ::testing::HasSubstr;

std::string text_at(const File& file, std::uint64_t offset, std::size_t num_bytes) {
  std::string out(num_bytes, '?');
  const Status status = file.read_at(offset, std::as_writable_bytes(std::span(out)));
  return status.ok() ? out : status.error().to_string();
}

TEST(File, ReadsAtAnyOffset) {
  const support::TemporaryDirectory folder;
  const auto file = File::open(folder.write("f", "0123456789"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->num_bytes(), 10U);
  EXPECT_EQ(text_at(*file, 0, 10), "0123456789");
  EXPECT_EQ(text_at(*file, 9, 1), "9");
  EXPECT_EQ(text_at(*file, 10, 0), "");
}

TEST(File, RefusesRangesOutsideOfTheFile) {
  const support::TemporaryDirectory folder;
  const auto file = File::open(folder.write("f", "0123456789"));
  EXPECT_THAT(text_at(*file, 9, 2), HasSubstr("not inside the file of 10 bytes"));
  EXPECT_THAT(text_at(*file, ~std::uint64_t{0}, 2), HasSubstr("not inside"));
}

TEST(File, SaysThatItShrank) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("f", "0123456789");
  const auto file = File::open(path);
  EXPECT_TRUE(file->check_size().ok());
  std::filesystem::resize_file(path, 4);
  EXPECT_THAT(text_at(*file, 0, 10),
              HasSubstr("shrank while being read: it had 10 bytes when opened, now it ends at byte 4"));
  EXPECT_EQ(text_at(*file, 0, 4), "0123");
  ASSERT_FALSE(file->check_size().ok());
  EXPECT_THAT(file->check_size().error().message, HasSubstr("from 10 to 4 bytes"));
  EXPECT_EQ(file->check_size().error().where, path.string());
}

TEST(File, RefusesWhatIsNoRegularFileWithoutBlocking) {
  const support::TemporaryDirectory folder;
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(File::open(pipe).error().message, HasSubstr("not a regular file"));
  EXPECT_THAT(File::open(folder.path()).error().message, HasSubstr("is a folder"));
  EXPECT_THAT(File::open("/dev/null").error().message, HasSubstr("not a regular file"));
}

TEST(File, SaysWhichFileIsNotThere) {
  const support::TemporaryDirectory folder;
  const auto file = File::open(folder.path() / "absent");
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file.error().where, (folder.path() / "absent").string());
}

TEST(File, OpensBeneathAFolderAndFollowsNoLinks) {
  const support::TemporaryDirectory folder;
  folder.write("sub/f", "x");
  std::filesystem::create_symlink("f", folder.path() / "sub/link");
  std::filesystem::create_directory_symlink("sub", folder.path() / "linked_sub");
  const auto base = Directory::open(folder.path());
  ASSERT_TRUE(base.ok());
  EXPECT_TRUE(File::open_beneath(*base, "sub/f", "label").ok());
  for (const char* path : {"sub/link", "linked_sub/f", "../x", "sub/../sub/f", "/etc/passwd", "", "sub", "sub/f/x"}) {
    const auto file = File::open_beneath(*base, path, "label");
    ASSERT_FALSE(file.ok()) << path;
    EXPECT_EQ(file.error().where, "label");
  }
}

std::atomic<int> num_alarms{0};
void count_alarm(int) { ++num_alarms; }

TEST(File, GoesOnWhenSignalsInterrupt) {
  const support::TemporaryDirectory folder;
  const std::string content(std::size_t{8} << 20, 'x');
  const auto file = File::open(folder.write("f", content));
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = count_alarm;  // without SA_RESTART
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval every{{0, 200}, {0, 200}};
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &every, nullptr);
  for (int i = 0; i < 1000 && (i < 20 || num_alarms < 20); ++i) ASSERT_EQ(text_at(*file, 0, content.size()), content);
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  EXPECT_GE(num_alarms, 20);
}

TEST(File, ReadsSmallTextFiles) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("f", "abc\n");
  EXPECT_EQ(read_text_file(path, 4).value(), "abc\n");
  EXPECT_THAT(read_text_file(path, 3).error().message, HasSubstr("4 bytes, more than the 3"));
}

TEST(QuoteName, StaysOnOneShortLine) {
  EXPECT_EQ(quote_name("a\nb\"c\\"), "\"a\\x0ab\\\"c\\\\\"");
  const std::string shown = quote_name(std::string(1'000'000, 'n'));
  EXPECT_LT(shown.size(), 300U);
  EXPECT_THAT(shown, HasSubstr("and 999800 more bytes"));
  std::string accents;
  for (int i = 0; i < 200; ++i) accents += "x\xc3\xa9";
  EXPECT_THAT(quote_name(accents), ::testing::EndsWith("\xa9x\" (and 401 more bytes)"));
}

TEST(FileDescriptor, MovesOwnership) {
  const support::TemporaryDirectory folder;
  auto first = File::open(folder.write("f", "x"));
  File moved = std::move(first).value();
  EXPECT_EQ(text_at(moved, 0, 1), "x");
  FileDescriptor a;
  EXPECT_FALSE(a.valid());
  a = FileDescriptor();
  EXPECT_EQ(a.release(), -1);
}

}  // namespace
}  // namespace nvfp4
