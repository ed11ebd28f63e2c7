#include "checkpoint/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "support/sanitized.h"
#include "support/temporary_directory.h"

namespace nvfp4::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string length_field(std::uint64_t value) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::string file_of(std::string_view header, std::size_t num_data_bytes) {
  return length_field(header.size()) + std::string(header) + std::string(num_data_bytes, '\0');
}

Result<SafetensorsHeader> parse(std::string_view file) {
  SafetensorsParser parser(NameHasher::random());
  return parser.parse("f.safetensors", std::as_bytes(std::span(file)));
}

TEST(Safetensors, ReadsNamesShapesAndAbsoluteRanges) {
  const std::string_view text =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"U8","shape":[2,8],"data_offsets":[0,16]},)"
      R"("s":{"dtype":"F32","shape":[],"data_offsets":[16,20]}}   )";
  const auto header = parse(file_of(text, 20));
  ASSERT_TRUE(header.ok()) << header.error().to_string();
  ASSERT_EQ(header->tensors.size(), 2U);
  const StoredTensor& w = header->tensors[0];
  EXPECT_EQ(w.name, "w");
  EXPECT_EQ(w.dtype, DType::kU8);
  EXPECT_THAT(w.shape, ElementsAre(2, 8));
  EXPECT_EQ(w.begin, 8 + text.size());
  EXPECT_EQ(w.num_bytes(), 16U);
  EXPECT_EQ(header->tensors[1].name, "s");
  EXPECT_TRUE(header->tensors[1].shape.empty());
  EXPECT_EQ(header->tensors[1].num_elements(), 1U);
  EXPECT_EQ(header->tensors[1].end, 8 + text.size() + 20);
  EXPECT_EQ(header->num_tensor_bytes, 20U);
}

TEST(Safetensors, NamesAndShapesStayWhenTheHeaderMoves) {
  auto parsed = parse(file_of(R"({"\u0061":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", 3));
  ASSERT_TRUE(parsed.ok());
  const SafetensorsHeader header = std::move(parsed).value();
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_THAT(header.tensors[0].shape, ElementsAre(3));
}

TEST(Safetensors, PutsTensorsInTheOrderOfTheirBytes) {
  const auto header = parse(file_of(R"({"c":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},)"
                                    R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                    R"("b":{"dtype":"U8","shape":[0,9],"data_offsets":[4,4]}})",
                                    8));
  ASSERT_TRUE(header.ok()) << header.error().to_string();
  std::vector<std::string_view> names;
  for (const StoredTensor& tensor : header->tensors) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("a", "b", "c"));
  EXPECT_THAT(header->tensors[1].shape, ElementsAre(0, 9));
}

TEST(Safetensors, KnowsEveryElementType) {
  for (int i = 0; i < 22; ++i) {
    const auto dtype = static_cast<DType>(i);
    const std::uint64_t num_bytes = bits_per_element(dtype);  // of 8 elements
    const auto header = parse(file_of(
        fmt::format(R"({{"t":{{"dtype":"{}","shape":[8],"data_offsets":[0,{}]}}}})", dtype_name(dtype), num_bytes),
        num_bytes));
    ASSERT_TRUE(header.ok()) << header.error().to_string();
    EXPECT_EQ(header->tensors[0].dtype, dtype);
  }
}

TEST(Safetensors, AcceptsWhatIsUnusualButAllowed) {
  const std::string ones = "1,1,1,1,1,1,1,1,1,1";
  const std::vector<std::pair<std::string, std::size_t>> cases = {
      {"{}", 0},
      {" \n\t\r{ } \n", 0},
      {R"({"__metadata__":null})", 0},
      {R"({"__metadata__":{}})", 0},
      {R"({"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1},
      {R"({"a":{"dtype":"F16","shape":[)" + ones + R"(],"data_offsets":[0,2]}})", 2},
      {R"({"a":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]}})", 3},
      {R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3},
      {R"({"a":{"data_offsets":[0,1],"\u0064type":"\u00558","shape":[1],"more":[1.5e3,null,true,{"x":"\n"}]}})", 1},
      {R"({"a":["U8",[1],[0,1]]})", 1},
      {R"({"a":{"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]}})", 1},
      {R"({"a":{"dtype":"U8","shape":[0,18446744073709551615,4],"data_offsets":[0,0]}})", 0},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
       0},
  };
  for (const auto& [text, num_bytes] : cases) {
    const auto header = parse(file_of(text, num_bytes));
    EXPECT_TRUE(header.ok()) << text << "\n" << header.error().to_string();
  }
}

struct Malformed {
  std::string file;
  std::string where;    // after the file's name
  std::string message;  // part of it
};

// One tensor "t" whose description is `fields`.
std::string tensor_file(std::string_view fields, std::size_t num_data_bytes) {
  return file_of(fmt::format(R"({{"t":{{{}}}}})", fields), num_data_bytes);
}

std::vector<Malformed> malformed_envelopes() {
  return {
      {"", "", "the file is empty"},
      {"1234567", "", "has 7 bytes, too few"},
      {length_field(0), "", "header is not valid JSON"},
      {length_field(3) + "{}", "", "1 are missing from its header"},
      {length_field(100'000'001) + "{}", "", "above the limit of 100000000"},
      {length_field(std::uint64_t{1} << 63) + "{}", "", "above the limit"},
      {length_field(~std::uint64_t{0}) + "{}", "", "above the limit"},
      {length_field(100'000'000) + "{}", "", "99999998 are missing"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "",
       "Git LFS pointer, not the file itself; run git lfs pull"},
      {"<!DOCTYPE html><html></html>", "", "HTML page"},
      {"\n <HTML><body>404</body></HTML>", "", "HTML page"},
      {"Entry not found", "", R"(text file that begins with "Entry not found")"},
      {R"({"error":"Repository not found"})", "", "text file that begins with"},
      {std::string("GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0", 16), "", "GGUF file"},
      {"PK\x03\x04 and a zip archive", "", "zip archive"},
  };
}

std::vector<Malformed> malformed_json() {
  return {
      {file_of("[]", 0), "", "not a JSON object"},
      {file_of("null", 0), "", "not a JSON object"},
      {file_of("{", 0), "", "not valid JSON"},
      {file_of("{}x", 0), "", "not valid JSON"},
      {file_of("{}{}", 0), "", "something follows the last brace"},
      {file_of("\xef\xbb\xbf{}", 0), "", "not a JSON object"},
      {file_of("{\"\xff\":1}", 0), "", "not valid JSON"},
      {file_of("{\"a\nb\":1}", 0), "", "not valid JSON"},
      {file_of("{\"a", 0), "", "not valid JSON"},
      {file_of(R"({"\ud800":1})", 0), "", "half a surrogate pair"},
      {file_of(R"({"t":1})", 0), R"(: tensor "t")", "must be an object"},
      {file_of(R"({"t":{})", 0), R"(: tensor "t")", "has no dtype"},
      {file_of(R"({"t":["U8",[0],[0,0]],})", 0), "", "not valid JSON"},
      {file_of(R"({"__metadata__":[]})", 0), ": __metadata__", "object of strings"},
      {file_of(R"({"__metadata__":{"a":1}})", 0), ": __metadata__", R"("a": must be a string)"},
      {file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), ": __metadata__", R"(the key "a" is there twice)"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), ": __metadata__", "is there twice"},
      {file_of(R"({"__metadata__":{"a":"b":"c"}})", 0), ": __metadata__", "not valid JSON"},
      {file_of(R"({"t":["U8",[1]]})", 0), R"(: tensor "t")", "must have dtype, shape and data_offsets"},
      {file_of(R"({"t":["U8",[1],[0,1],4]})", 1), R"(: tensor "t": data_offsets)", "fourth element"},
      {tensor_file(
           R"("dtype":"U8","shape":[0],"data_offsets":[0,0],"x":)" + std::string(200, '[') + std::string(200, ']'), 0),
       R"(: tensor "t": "x")", "too deep"},
      {tensor_file(R"("dtype":"U8","shape":[0],"data_offsets":[0,0],"x":[1e400])", 0), R"(: tensor "t": "x")",
       "too large"},
      {tensor_file(R"("dtype":"U8","shape":[0],"data_offsets":[0,0],"x":{"y":nul})", 0), R"(: tensor "t": "x")",
       "unknown word"},
  };
}

std::vector<Malformed> malformed_fields() {
  const std::string t = R"(: tensor "t")";
  return {
      {tensor_file(R"("shape":[1],"data_offsets":[0,1])", 1), t, "has no dtype"},
      {tensor_file(R"("dtype":"U8","data_offsets":[0,1])", 1), t, "has no shape"},
      {tensor_file(R"("dtype":"U8","shape":[1])", 1), t, "has no data_offsets"},
      {tensor_file(R"("dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1])", 1), t + ": dtype",
       "is there twice"},
      {tensor_file(R"("dtype":"u8","shape":[1],"data_offsets":[0,1])", 1), t + ": dtype",
       R"("u8" is not an element type)"},
      {tensor_file(R"("dtype":"F8_E4M3FN","shape":[1],"data_offsets":[0,1])", 1), t + ": dtype", "F8_E4M3FN"},
      {tensor_file(R"("dtype":8,"shape":[1],"data_offsets":[0,1])", 1), t + ": dtype", "must be a string"},
      {tensor_file(R"("dtype":null,"shape":[1],"data_offsets":[0,1])", 1), t + ": dtype", "must be a string"},
      {tensor_file(R"("dtype":"U8","shape":1,"data_offsets":[0,1])", 1), t + ": shape", "must be an array"},
      {tensor_file(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])", 1), t + ": shape",
       R"(from 0 to 2^64 - 1, not "-1")"},
      {tensor_file(R"("dtype":"U8","shape":[1.0],"data_offsets":[0,1])", 1), t + ": shape", R"(not "1.0")"},
      {tensor_file(R"("dtype":"U8","shape":[1e0],"data_offsets":[0,1])", 1), t + ": shape", "whole numbers"},
      {tensor_file(R"("dtype":"U8","shape":[-0],"data_offsets":[0,0])", 0), t + ": shape", "whole numbers"},
      {tensor_file(R"("dtype":"U8","shape":["1"],"data_offsets":[0,1])", 1), t + ": shape", "whole numbers"},
      {tensor_file(R"("dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1])", 1), t + ": shape",
       "whole numbers"},
      {tensor_file(R"("dtype":"U8","shape":[01],"data_offsets":[0,1])", 1), t + ": shape", "whole numbers"},
      {tensor_file(R"("dtype":"U8","shape":[1,],"data_offsets":[0,1])", 1), t + ": shape", ""},
      {tensor_file(R"("dtype":"U8","shape":[1],"data_offsets":[0])", 1), t + ": data_offsets", "must have two numbers"},
      {tensor_file(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,1])", 1), t + ": data_offsets", "more than two"},
      {tensor_file(R"("dtype":"U8","shape":[1],"data_offsets":{"a":1})", 1), t + ": data_offsets", "must be an array"},
      {tensor_file(R"("dtype":"U8","shape":[1],"data_offsets":[-1,0])", 1), t + ": data_offsets", "whole numbers"},
      {tensor_file(R"("dtype":"U8","shape":[1],"data_offsets":[0.0,1.0])", 1), t + ": data_offsets", "whole numbers"},
  };
}

std::vector<Malformed> malformed_ranges() {
  const std::string t = R"(: tensor "t")";
  const auto two = [](std::string_view a, std::string_view b, std::size_t num_bytes) {
    return file_of(
        fmt::format(
            R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
            a, b),
        num_bytes);
  };
  return {
      {tensor_file(R"("dtype":"U8","shape":[2],"data_offsets":[2,0])", 2), t + ": data_offsets",
       "ends before it begins"},
      {tensor_file(R"("dtype":"U8","shape":[2],"data_offsets":[1,3])", 3), t + ": data_offsets",
       "the bytes between belong to none"},
      {tensor_file(R"("dtype":"U8","shape":[3],"data_offsets":[0,2])", 2), t + ": data_offsets",
       "spans 2 bytes, but shape [3] of U8 needs 3"},
      {tensor_file(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])", 2), t + ": shape", "does not fill whole bytes"},
      {tensor_file(R"("dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,8])", 8), t + ": shape",
       "more bits than"},
      {tensor_file(R"("dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0])", 0), t + ": shape",
       "more bits than"},
      {tensor_file(R"("dtype":"U8","shape":[8],"data_offsets":[0,8])", 5), t,
       "the file is truncated: it has 66 bytes, 3 are missing"},
      {tensor_file(R"("dtype":"U8","shape":[8],"data_offsets":[0,8])", 9), "",
       "the last 1 bytes of the file belong to no tensor"},
      {file_of("{}", 1), "", "the last 1 bytes"},
      {two("[0,4]", "[3,7]", 7), R"(: tensor "b": data_offsets)",
       "begins at 3, inside the tensor before it, which ends at 4"},
      {two("[0,4]", "[0,4]", 4), R"(: tensor "b": data_offsets)", "inside the tensor before it"},
      {two("[4,8]", "[5,9]", 9), R"(: tensor "a": data_offsets)", "begins at 4, but the tensor before it ends at 0"},
      {two("[0,4]", "[5,9]", 9), R"(: tensor "b": data_offsets)", "the bytes between"},
      {file_of(
           R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0074":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
           0),
       t, "this name twice"},
      {file_of(
           R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
           4),
       t, "this name twice"},
  };
}

void expect_refused(const std::vector<Malformed>& cases) {
  for (const Malformed& c : cases) {
    const auto started = std::chrono::steady_clock::now();
    const auto header = parse(c.file);
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(1));
    ASSERT_FALSE(header.ok()) << c.file;
    EXPECT_EQ(header.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(header.error().where, "f.safetensors" + c.where) << header.error().to_string();
    EXPECT_THAT(header.error().message, HasSubstr(c.message)) << header.error().to_string();
    EXPECT_EQ(header.error().to_string().find('\n'), std::string::npos);
  }
}

TEST(Safetensors, RefusesBrokenEnvelopes) { expect_refused(malformed_envelopes()); }
TEST(Safetensors, RefusesBrokenJson) { expect_refused(malformed_json()); }
TEST(Safetensors, RefusesBrokenFields) { expect_refused(malformed_fields()); }
TEST(Safetensors, RefusesBrokenRanges) { expect_refused(malformed_ranges()); }

TEST(Safetensors, AllowsTheDepthThatTheRustPackageAllows) {
  const auto with_depth = [](int num_arrays) {
    const auto count = static_cast<std::size_t>(num_arrays);
    return tensor_file(
        R"("dtype":"U8","shape":[0],"data_offsets":[0,0],"x":)" + std::string(count, '[') + std::string(count, ']'), 0);
  };
  EXPECT_TRUE(parse(with_depth(125)).ok());
  EXPECT_FALSE(parse(with_depth(126)).ok());
}

TEST(Safetensors, EndsFastOnHugeHeaders) {
  // Of this thread alone: other tests run beside it.
  const auto seconds = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const auto timed = [&](const std::string& file) {
    const double started = seconds();
    const auto header = parse(file);
    EXPECT_FALSE(header.ok());
    EXPECT_LT(header.error().to_string().size(), 1000U);
    return seconds() - started;
  };
  constexpr std::size_t kMany = 10'000'000;
  constexpr double kMost = support::kIsSanitized ? 10 : 1;
  EXPECT_LT(timed(file_of(std::string(kMany, '['), 0)), kMost);
  EXPECT_LT(timed(file_of(R"({"t":)" + std::string(kMany, '{'), 0)), kMost);
  EXPECT_LT(timed(file_of(R"({")" + std::string(kMany, 'n') + R"(":1})", 0)), kMost);
  EXPECT_LT(timed(file_of(R"({"t":{"dtype":")" + std::string(kMany, 'n') + R"("}})", 0)), kMost);
  EXPECT_LT(timed(file_of(std::string(kMany, ' '), 0)), kMost);
  std::string dims = R"({"t":{"shape":[0)";
  while (dims.size() < kMany) dims += ",0";
  EXPECT_LT(timed(file_of(dims + "]}}", 0)), kMost);
}

TEST(Safetensors, ReadsAFile) {
  const support::TemporaryDirectory folder;
  const std::string content = tensor_file(R"("dtype":"U8","shape":[5],"data_offsets":[0,5])", 5);
  const auto path = folder.write("m.safetensors", content);
  SafetensorsParser parser(NameHasher::random());
  for (int i = 0; i < 2; ++i) {
    const auto file = File::open(path);
    const auto header = parser.read(*file);
    ASSERT_TRUE(header.ok()) << header.error().to_string();
    EXPECT_EQ(header->tensors[0].end, content.size());
  }
}

TEST(Safetensors, EveryTruncationOfAFileIsAnError) {
  const support::TemporaryDirectory folder;
  const std::string content = tensor_file(R"("dtype":"U8","shape":[5],"data_offsets":[0,5])", 5);
  SafetensorsParser parser(NameHasher::random());
  for (std::size_t num_bytes = 0; num_bytes < content.size(); ++num_bytes) {
    const auto path = folder.write("m.safetensors", content.substr(0, num_bytes));
    const auto file = File::open(path);
    const auto header = parser.read(*file);
    ASSERT_FALSE(header.ok()) << num_bytes;
    EXPECT_THAT(header.error().where, StartsWith(path.string()));
    EXPECT_THAT(header.error().message, HasSubstr("download it again"));
  }
}

TEST(Safetensors, SaysThatAFileShrankBetweenOpenAndRead) {
  const support::TemporaryDirectory folder;
  const auto path = folder.write("m.safetensors", tensor_file(R"("dtype":"U8","shape":[5],"data_offsets":[0,5])", 5));
  const auto file = File::open(path);
  std::filesystem::resize_file(path, 20);
  SafetensorsParser parser(NameHasher::random());
  const auto header = parser.read(*file);
  ASSERT_FALSE(header.ok());
  EXPECT_EQ(header.error().code, ErrorCode::kIo);
  EXPECT_THAT(header.error().message, HasSubstr("shrank while being read"));
}

}  // namespace
}  // namespace nvfp4::checkpoint
