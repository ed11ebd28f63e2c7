#include "base/mapped_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csetjmp>
#include <string>
#include <thread>
#include <vector>

#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kPage = 4096;

std::shared_ptr<const MappedFile> map_file(const std::filesystem::path& path) {
  auto file = File::open(path);
  EXPECT_TRUE(file.ok());
  auto map = MappedFile::map(std::make_shared<const File>(std::move(file).value()));
  EXPECT_TRUE(map.ok());
  return std::move(map).value();
}

std::uint64_t sum_of(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (const std::byte& byte : bytes) sum += static_cast<std::uint64_t>(*static_cast<const volatile std::byte*>(&byte));
  return sum;
}

TEST(MappedFile, ShowsTheBytes) {
  const support::TemporaryDirectory folder;
  const auto map = map_file(folder.write("f", "0123456789"));
  EXPECT_EQ(map->bytes().size(), 10U);
  EXPECT_EQ(static_cast<char>(map->bytes()[9]), '9');
  EXPECT_TRUE(map->verify().ok());
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const support::TemporaryDirectory folder;
  const auto map = map_file(folder.write("f", ""));
  EXPECT_TRUE(map->bytes().empty());
  EXPECT_TRUE(map->verify().ok());
}

TEST(MappedFile, ReadsZerosPastTheNewEndAndSaysSo) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("f", std::string(16 * kPage, '\1'));
  const auto map = map_file(path);
  std::filesystem::resize_file(path, 2 * kPage + 10);
  EXPECT_EQ(sum_of(map->bytes()), 2 * kPage + 10);
  ASSERT_FALSE(map->verify().ok());
  EXPECT_THAT(map->verify().error().message, HasSubstr("shrank from 65536 to 8202 bytes"));
  EXPECT_EQ(map->verify().error().where, path.string());
}

TEST(MappedFile, NoticesATruncationInsideTheLastPage) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("f", std::string(kPage, '\1'));
  const auto map = map_file(path);
  std::filesystem::resize_file(path, kPage - 1);
  EXPECT_FALSE(map->verify().ok());
}

TEST(MappedFile, RemembersAFaultWhenTheFileHasGrownBack) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("f", std::string(4 * kPage, '\1'));
  const auto map = map_file(path);
  std::filesystem::resize_file(path, 0);
  EXPECT_EQ(sum_of(map->bytes().last(kPage)), 0U);
  std::filesystem::resize_file(path, 4 * kPage);
  ASSERT_FALSE(map->verify().ok());
  EXPECT_THAT(map->verify().error().message, HasSubstr("while it was mapped"));
}

TEST(MappedFile, TellsApartWhichOfManyMapsShrank) {
  const support::TemporaryDirectory folder;
  std::vector<std::shared_ptr<const MappedFile>> maps;
  for (int i = 0; i < 200; ++i) {
    maps.push_back(map_file(folder.write(fmt::format("f{}", i), std::string(3 * kPage, '\1'))));
  }
  for (std::size_t i = 0; i < maps.size(); i += 3) {
    std::filesystem::resize_file(folder.path() / (fmt::format("f{}", i)), kPage);
    EXPECT_EQ(sum_of(maps[i]->bytes()), kPage);
  }
  for (std::size_t i = 0; i < maps.size(); ++i) {
    EXPECT_EQ(maps[i]->verify().ok(), i % 3 != 0) << i;
    if (i % 3 != 0) {
      EXPECT_EQ(sum_of(maps[i]->bytes()), 3 * kPage);
    }
  }
}

TEST(MappedFile, TwoThreadsMayFaultAtOnce) {
  const support::TemporaryDirectory folder;
  for (int round = 0; round < 20; ++round) {
    const auto path = folder.write("f", std::string(256 * kPage, '\1'));
    const auto map = map_file(path);
    std::filesystem::resize_file(path, kPage);
    std::uint64_t sums[2] = {};
    {
      std::jthread forward([&] { sums[0] = sum_of(map->bytes()); });
      std::jthread backward([&] {
        for (std::size_t page = 256; page-- > 0;) sums[1] += sum_of(map->bytes().subspan(page * kPage, kPage));
      });
    }
    EXPECT_EQ(sums[0], kPage);
    EXPECT_EQ(sums[1], kPage);
    EXPECT_FALSE(map->verify().ok());
  }
}

// Nothing but the kernel orders the two: to read a page that another thread covered is no race.
TEST(MappedFile, AThreadMayReadWhatAnotherOneCovered) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("f", std::string(4 * kPage, '\1'));
  const auto map = map_file(path);
  std::filesystem::resize_file(path, 0);
  std::atomic<bool> covered = false;
  std::uint64_t sums[2] = {1, 1};
  {
    std::jthread first([&] {
      sums[0] = sum_of(map->bytes().first(1));
      covered.store(true, std::memory_order_relaxed);
    });
    std::jthread second([&] {
      while (!covered.load(std::memory_order_relaxed)) std::this_thread::yield();
      sums[1] = sum_of(map->bytes());
    });
  }
  EXPECT_EQ(sums[0], 0U);
  EXPECT_EQ(sums[1], 0U);
  EXPECT_FALSE(map->verify().ok());
}

TEST(MappedFile, FaultsWhileOtherThreadsMapAndUnmap) {
  const support::TemporaryDirectory folder;
  folder.write("whole", std::string(8 * kPage, '\1'));
  const auto path = folder.write("shrinking", std::string(8 * kPage, '\1'));
  std::jthread other([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const auto map = map_file(folder.path() / "whole");
      ASSERT_EQ(sum_of(map->bytes()), 8 * kPage);
      ASSERT_TRUE(map->verify().ok());
    }
  });
  for (int i = 0; i < 300; ++i) {
    std::filesystem::resize_file(path, 8 * kPage);
    const auto map = map_file(path);
    std::filesystem::resize_file(path, 0);
    ASSERT_EQ(sum_of(map->bytes()), 0U);
    ASSERT_FALSE(map->verify().ok());
  }
}

// The rest runs in processes of their own ("threadsafe"), because the handler is installed once per process.

volatile sig_atomic_t num_foreign_faults = 0;
sigjmp_buf after_fault;

void foreign_handler(int, siginfo_t*, void*) {
  num_foreign_faults = num_foreign_faults + 1;
  siglongjmp(after_fault, 1);
}

// Touches a page beyond the end of a file that this test mapped by itself.
void fault_outside_of_our_maps(const std::filesystem::path& path) {
  const auto file = File::open(path);
  const void* const address = ::mmap(nullptr, 2 * kPage, PROT_READ, MAP_PRIVATE, file->fd(), 0);
  (void)sum_of({static_cast<const std::byte*>(address) + kPage, 1});
}

TEST(MappedFile, HandsForeignFaultsToTheHandlerBefore) {
  const support::TemporaryDirectory folder;
  const auto ours = folder.write("ours", std::string(4 * kPage, '\1'));
  const auto foreign = folder.write("foreign", "x");
  const auto body = [&] {
    struct sigaction action{};
    action.sa_sigaction = foreign_handler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigaction(SIGBUS, &action, nullptr);
    const auto map = map_file(ours);
    std::filesystem::resize_file(ours, 0);
    if (sum_of(map->bytes()) != 0 || num_foreign_faults != 0) ::_exit(1);
    if (sigsetjmp(after_fault, 1) == 0) {
      fault_outside_of_our_maps(foreign);
      ::_exit(2);
    }
    ::_exit(num_foreign_faults == 1 ? 0 : 3);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(0), "");
}

TEST(MappedFile, ForeignFaultsStillEndTheProcessWhenNobodyHandledThem) {
  const support::TemporaryDirectory folder;
  const auto ours = folder.write("ours", "x");
  const auto foreign = folder.write("foreign", "x");
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto body = [&] {
    ::signal(SIGBUS, SIG_DFL);
    const auto map = map_file(ours);
    fault_outside_of_our_maps(foreign);
  };
  EXPECT_EXIT(body(), ::testing::KilledBySignal(SIGBUS), "");
}

TEST(MappedFile, ASentSignalIsNotSwallowed) {
  const support::TemporaryDirectory folder;
  const auto ours = folder.write("ours", "x");
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto body = [&] {
    ::signal(SIGBUS, SIG_DFL);
    const auto map = map_file(ours);
    ::raise(SIGBUS);
  };
  EXPECT_EXIT(body(), ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace nvfp4
