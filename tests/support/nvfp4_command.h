// The nvfp4 command as tests run it, and what all its refusals have in common.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/run_command.h"

namespace nvfp4::support {

using Arguments = std::vector<std::string>;

inline Arguments joined(Arguments left, const Arguments& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

inline RunResult run_nvfp4(const Arguments& arguments, const std::filesystem::path& input = "/dev/null") {
  return run_command(joined({NVFP4_COMMAND}, arguments), input);
}

// What it printed, which must be JSON.
inline nlohmann::json json_of(const RunResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  nlohmann::json json = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.out;
  return json;
}

// Exit code 2, nothing on stdout, one line on stderr that begins "error: " and has all of `mentions` in it.
inline void expect_refusal(const RunResult& result, std::initializer_list<std::string> mentions) {
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("error: ")) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_LT(result.err.size(), 1000U);
  for (const std::string& text : mentions) EXPECT_NE(result.err.find(text), std::string::npos) << text << result.err;
}

}  // namespace nvfp4::support
