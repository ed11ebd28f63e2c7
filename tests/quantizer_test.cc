// Our quantiser against vectors that the producers' libraries wrote: tests/fixtures/quantizer, byte for byte.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/bf16.h"
#include "formats/fp16.h"
#include "nvfp4/quantize.h"

namespace nvfp4 {
namespace {

using nlohmann::json;

struct Vectors {
  json header;              // of the safetensors file: name -> {dtype, shape, data_offsets}
  std::vector<char> data;   // what follows the header
  std::vector<json> cases;  // {case, rule, convention, source}

  [[nodiscard]] std::vector<std::uint8_t> bytes(const std::string& name) const {
    const auto& offsets = header.at(name).at("data_offsets");
    return {data.begin() + offsets[0].get<std::ptrdiff_t>(), data.begin() + offsets[1].get<std::ptrdiff_t>()};
  }
  [[nodiscard]] float scalar(const std::string& name) const {
    const auto raw = bytes(name);
    float value = 0;
    EXPECT_EQ(raw.size(), sizeof value);
    std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }
};

Vectors read_vectors(const std::string& name) {
  const std::string stem = std::string(NVFP4_FIXTURES) + "/quantizer/" + name;
  Vectors vectors;
  std::ifstream list(stem + ".json");
  EXPECT_TRUE(list.good()) << stem;
  vectors.cases = json::parse(list).at("cases").get<std::vector<json>>();
  std::ifstream file(stem + ".safetensors", std::ios::binary);
  std::uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  EXPECT_TRUE(file.good()) << stem;
  vectors.header = json::parse(header);
  vectors.data.assign(std::istreambuf_iterator<char>(file), {});
  return vectors;
}

struct Input {
  std::vector<float> values;
  MatrixView view;
};

// The tensor <name> as a matrix; the view refers to the values beside it.
Input read_input(const Vectors& vectors, const std::string& name) {
  const json& entry = vectors.header.at(name);
  const std::string dtype = entry.at("dtype");
  const auto raw = vectors.bytes(name);
  Input input;
  if (dtype == "F32") {
    input.values.resize(raw.size() / 4);
    std::memcpy(input.values.data(), raw.data(), raw.size());
  } else {
    std::vector<std::uint16_t> codes(raw.size() / 2);
    std::memcpy(codes.data(), raw.data(), raw.size());
    for (const std::uint16_t code : codes) {
      input.values.push_back(dtype == "BF16" ? decode_bf16(code) : decode_fp16(code));
    }
  }
  input.view = {input.values, entry.at("shape")[0], entry.at("shape")[1],
                dtype == "F32"    ? DType::kF32
                : dtype == "BF16" ? DType::kBF16
                                  : DType::kF16};
  return input;
}

QuantizerRule rule_of(const json& entry) {
  const bool is_modelopt = entry.at("rule").get<std::string>().starts_with("modelopt");
  EXPECT_EQ(entry.at("convention"), is_modelopt ? "multiplier" : "divisor");
  return is_modelopt ? QuantizerRule::kModelOpt : QuantizerRule::kCompressedTensors;
}

void expect_equal(const Vectors& vectors, const std::string& stem, const Result<QuantizedMatrix>& result) {
  ASSERT_TRUE(result.ok()) << stem << ": " << result.error().to_string();
  const float want = vectors.scalar(stem + ".global_scale");
  EXPECT_EQ(std::memcmp(&result->scale2_stored, &want, sizeof want), 0) << stem << ": " << want;
  EXPECT_EQ(result->block_scales, vectors.bytes(stem + ".block_scale")) << stem;
  EXPECT_EQ(result->codes, vectors.bytes(stem + ".codes")) << stem;
}

// Rules with a suffix (modelopt_shared, ...) quantise under a scale2 that is not the matrix's own.
TEST(Quantizer, WeightsAsTheLibrariesWriteThem) {
  const Vectors vectors = read_vectors("weights");
  int num_own = 0;
  int num_given = 0;
  int num_refused = 0;
  for (const json& entry : vectors.cases) {
    const std::string name = entry.at("case");
    const std::string stem = name + "." + entry.at("rule").get<std::string>();
    const Input input = read_input(vectors, name + ".input");
    const bool own = entry.at("rule") == "modelopt" || entry.at("rule") == "compressed";
    const float scale2 = vectors.scalar(stem + ".global_scale");
    if (!std::isfinite(scale2)) {
      EXPECT_FALSE(quantize_weight(input.view, rule_of(entry), scale2).ok()) << stem;
      ++num_refused;
      continue;
    }
    if (own) expect_equal(vectors, stem, quantize_weight(input.view, rule_of(entry)));
    expect_equal(vectors, stem, quantize_weight(input.view, rule_of(entry), scale2));
    ++(own ? num_own : num_given);
  }
  EXPECT_EQ(num_own, 72);  // 12 distributions x 3 dtypes x 2 producers
  EXPECT_GE(num_given, 100);
  EXPECT_LE(num_refused, 4);  // an amax beyond FP32
}

// ModelOpt's torch path treats activations as weights. Its kernel, and ours, differ only in blocks whose scale rounds
// to zero: scale byte and codes are zero there.
TEST(Quantizer, ActivationsAsTheLibrariesQuantiseThem) {
  const Vectors vectors = read_vectors("activations");
  int num_underflows = 0;
  for (const json& entry : vectors.cases) {
    const std::string name = entry.at("case");
    const std::string stem = name + "." + entry.at("rule").get<std::string>();
    const Input input = read_input(vectors, name + ".input");
    const float scale2 = vectors.scalar(stem + ".global_scale");
    const auto activation = quantize_activation(input.view, rule_of(entry), scale2);
    if (rule_of(entry) == QuantizerRule::kCompressedTensors) {
      expect_equal(vectors, stem, activation);
      continue;
    }
    expect_equal(vectors, stem, quantize_weight(input.view, rule_of(entry), scale2));
    ASSERT_TRUE(activation.ok()) << stem;
    const auto want_scales = vectors.bytes(stem + ".block_scale");
    const auto want_codes = vectors.bytes(stem + ".codes");
    for (std::size_t block_idx = 0; block_idx < want_scales.size(); ++block_idx) {
      const bool underflow = activation->block_scales[block_idx] == 0;
      num_underflows += underflow ? 1 : 0;
      if (!underflow) {
        ASSERT_EQ(activation->block_scales[block_idx], want_scales[block_idx]) << stem;
      }
      for (std::size_t byte = block_idx * 8; byte < block_idx * 8 + 8; ++byte) {
        ASSERT_EQ(activation->codes[byte], underflow ? 0 : want_codes[byte]) << stem;
      }
    }
  }
  EXPECT_EQ(vectors.cases.size(), 240U);  // 8 distributions x 3 dtypes x 5 calibrations x 2 producers
  EXPECT_GT(num_underflows, 0);
}

}  // namespace
}  // namespace nvfp4
