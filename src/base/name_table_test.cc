#include "base/name_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nvfp4 {
namespace {

std::vector<std::string> some_names(std::size_t num_names) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < num_names; ++i) {
    names.push_back("model.layers." + std::to_string(i / 100) + std::string(i % 40, 'x') + std::to_string(i));
  }
  return names;
}

TEST(NameTable, FindsWhatWasInsertedAndNothingElse) {
  const auto names = some_names(10'000);
  const NameHasher hasher = NameHasher::random();
  NameTable table(names.size());
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    const auto same = [&](std::uint32_t other) { return names[other] == names[i]; };
    ASSERT_EQ(table.insert(hasher(names[i]), i, same), NameTable::kNone);
    ASSERT_EQ(table.insert(hasher(names[i]), 0, same), i);
  }
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(table.find(hasher(names[i]), [&](std::uint32_t other) { return names[other] == names[i]; }), i);
    const std::string absent = names[i] + "!";
    ASSERT_EQ(table.find(hasher(absent), [&](std::uint32_t other) { return names[other] == absent; }),
              NameTable::kNone);
  }
}

TEST(NameTable, IsRightEvenWhenAllHashesCollide) {
  const auto names = some_names(300);
  NameTable table(names.size());
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(table.insert(7, i, [&](std::uint32_t other) { return names[other] == names[i]; }), NameTable::kNone);
  }
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(table.find(7, [&](std::uint32_t other) { return names[other] == names[i]; }), i);
  }
}

TEST(NameTable, EmptyFindsNothing) {
  const auto never = [](std::uint32_t) { return true; };
  EXPECT_EQ(NameTable().find(1, never), NameTable::kNone);
  EXPECT_EQ(NameTable(0).find(1, never), NameTable::kNone);
}

TEST(NameHasher, SpreadsNamesOfAllLengths) {
  const NameHasher hasher(0x123456789abcdef1, 0xfedcba9876543211);
  std::set<std::uint64_t> seen;
  std::string name;
  for (int i = 0; i < 200; ++i) {
    seen.insert(hasher(name));
    name += 'a';
  }
  for (const char* text : {"b", "ab", "ba", "aaaaaaab", "baaaaaaa"}) seen.insert(hasher(text));
  EXPECT_EQ(seen.size(), 205U);
}

TEST(NameHasher, DependsOnEveryByteAndOnTheSeed) {
  const std::string name(37, 'n');
  const NameHasher hasher(0x123456789abcdef1, 0xfedcba9876543211);
  for (std::size_t i = 0; i < name.size(); ++i) {
    std::string other = name;
    other[i] = 'm';
    EXPECT_NE(hasher(other), hasher(name)) << i;
  }
  EXPECT_NE(NameHasher(0x123456789abcdef3, 0xfedcba9876543211)(name), hasher(name));
  EXPECT_NE(NameHasher(0x123456789abcdef1, 0xfedcba9876543215)(name), hasher(name));
}

}  // namespace
}  // namespace nvfp4
