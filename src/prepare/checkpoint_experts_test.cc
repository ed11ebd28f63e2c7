// The experts of a layer, one by one and fused, in every scheme: the same prepared bytes.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "prepare/checkpoint_source.h"
#include "support/opened_checkpoint.h"

namespace nvfp4::prepare {
namespace {

using support::OpenedCheckpoint;
using support::SafetensorsText;
using testing::HasSubstr;

constexpr std::uint64_t kExperts = 3;
constexpr std::uint64_t kHidden = 64;
constexpr std::uint64_t kInner = 32;
const std::string kPrefix = "model.layers.0.mlp.experts";

enum class Kind { kBF16, kModelOpt, kCompressedTensors, kFp8, kFp8PerRow };

std::string kind_name(const testing::TestParamInfo<Kind>& kind) {
  constexpr std::array kNames = {"bf16", "modelopt_nvfp4", "compressed_tensors_nvfp4", "fp8", "fp8_per_row"};
  return kNames[static_cast<std::size_t>(kind.param)];
}

// One matrix as a file stores it.
struct Matrix {
  std::string dtype;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::string data, block_scales;
  std::vector<float> row_scales;
  float scale2 = 0;
  float input_scale = 0;
};

std::string some_bytes(std::uint64_t count, std::uint64_t seed, unsigned mask) {
  std::string bytes(count, '\0');
  for (char& byte : bytes) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<char>(seed >> 56U & mask);
  }
  return bytes;
}

Matrix some_matrix(Kind kind, std::uint64_t rows, std::uint64_t cols, std::uint64_t seed) {
  Matrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  const auto fraction = 0.001F * static_cast<float>(seed % 97 + 1);
  switch (kind) {
    case Kind::kBF16:
      matrix.dtype = "BF16";
      matrix.data = some_bytes(rows * cols * 2, seed, 0xBF);
      break;
    case Kind::kModelOpt:
    case Kind::kCompressedTensors:
      matrix.dtype = "U8";
      matrix.data = some_bytes(rows * cols / 2, seed, 0xFF);
      matrix.block_scales = some_bytes(rows * cols / 16, seed + 1, 0x5F);
      matrix.scale2 = kind == Kind::kModelOpt ? fraction : 1 / fraction;
      matrix.input_scale = kind == Kind::kModelOpt ? 3 * fraction : 7 / fraction;
      // A divisor that its reciprocal's reciprocal does not give back.
      while (kind == Kind::kCompressedTensors && 1 / (1 / matrix.input_scale) == matrix.input_scale) {
        matrix.input_scale = std::nextafter(matrix.input_scale, 1e9F);
      }
      break;
    case Kind::kFp8:
    case Kind::kFp8PerRow:
      matrix.dtype = "F8_E4M3";
      matrix.data = some_bytes(rows * cols, seed, 0xF7);
      matrix.scale2 = fraction;
      matrix.input_scale = 3 * fraction;
      for (std::uint64_t row = 0; row < rows; ++row)
        matrix.row_scales.push_back(fraction * static_cast<float>(row + 1));
  }
  return matrix;
}

struct Experts {
  Kind kind = Kind::kBF16;
  std::vector<Matrix> gate, up, down;

  explicit Experts(Kind wanted) : kind(wanted) {
    for (std::uint64_t e = 0; e < kExperts; ++e) {
      gate.push_back(some_matrix(kind, kInner, kHidden, 10 * e + 1));
      up.push_back(some_matrix(kind, kInner, kHidden, 10 * e + 2));
      down.push_back(some_matrix(kind, kHidden, kInner, 10 * e + 3));
      up.back().input_scale = gate.back().input_scale;  // they share their input
    }
  }
};

void add_one(SafetensorsText& out, Kind kind, const std::string& module, const Matrix& m) {
  const std::vector<std::uint64_t> shape = {m.rows, m.dtype == "U8" ? m.cols / 2 : m.cols};
  out.add(module + (kind == Kind::kCompressedTensors ? ".weight_packed" : ".weight"), m.dtype, shape, m.data);
  const bool divides = kind == Kind::kCompressedTensors;
  if (m.dtype == "U8") {
    out.add(module + ".weight_scale", "F8_E4M3", {m.rows, m.cols / 16}, m.block_scales);
    out.add_values(module + (divides ? ".weight_global_scale" : ".weight_scale_2"), "F32", {1}, std::vector{m.scale2});
    out.add_values(module + (divides ? ".input_global_scale" : ".input_scale"), "F32", {1}, std::vector{m.input_scale});
  } else if (kind == Kind::kFp8PerRow) {
    out.add_values(module + ".weight_scale", "F32", {m.rows, 1}, m.row_scales);
  } else if (kind == Kind::kFp8) {
    out.add_values(module + ".weight_scale", "F32", {}, std::vector{m.scale2});
    out.add_values(module + ".input_scale", "F32", {}, std::vector{m.input_scale});
  }
}

SafetensorsText one_by_one(const Experts& experts) {
  SafetensorsText out;
  for (std::size_t e = 0; e < kExperts; ++e) {
    const auto module = [&](const char* projection) { return fmt::format("{}.{}.{}", kPrefix, e, projection); };
    add_one(out, experts.kind, module("down_proj"), experts.down[e]);
    add_one(out, experts.kind, module("gate_proj"), experts.gate[e]);
    add_one(out, experts.kind, module("up_proj"), experts.up[e]);
  }
  return out;
}

// parts: the matrices of one expert on top of each other. `dot`: "." when companions are named after a module with
// ".weight", "_" when the parameter has no ".weight".
void add_fused(SafetensorsText& out, Kind kind, const std::string& name, const std::string& dot,
               const std::vector<const std::vector<Matrix>*>& parts) {
  Matrix all = (*parts[0])[0];
  all.data.clear();
  all.block_scales.clear();
  all.row_scales.clear();
  std::vector<float> scale2, input_scale;
  for (std::size_t e = 0; e < kExperts; ++e) {
    for (const auto* part : parts) {
      const Matrix& m = (*part)[e];
      all.data += m.data;
      all.block_scales += m.block_scales;
      all.row_scales.insert(all.row_scales.end(), m.row_scales.begin(), m.row_scales.end());
      scale2.push_back(m.scale2);
    }
    input_scale.push_back((*parts[0])[e].input_scale);
  }
  const std::uint64_t rows = all.rows * parts.size();
  const bool divides = kind == Kind::kCompressedTensors;
  const std::string weight = dot == "." ? (divides ? ".weight_packed" : ".weight") : "";
  out.add(name + weight, all.dtype, {kExperts, rows, all.dtype == "U8" ? all.cols / 2 : all.cols}, all.data);
  if (kind == Kind::kBF16) return;
  if (all.dtype == "U8") {
    out.add(name + dot + "weight_scale", "F8_E4M3", {kExperts, rows, all.cols / 16}, all.block_scales);
    const std::string scale2_name = name + dot + (divides ? "weight_global_scale" : "weight_scale_2");
    out.add_values(scale2_name, "F32", {kExperts, parts.size()}, scale2);
    out.add_values(name + dot + (divides ? "input_global_scale" : "input_scale"), "F32", {kExperts}, input_scale);
  } else {
    out.add_values(name + dot + "weight_scale", "F32", {kExperts, rows, 1}, all.row_scales);
  }
}

SafetensorsText fused(const Experts& experts, const std::string& dot) {
  SafetensorsText out;
  add_fused(out, experts.kind, kPrefix + ".gate_up_proj", dot, {&experts.gate, &experts.up});
  add_fused(out, experts.kind, kPrefix + ".down_proj", dot, {&experts.down});
  return out;
}

void expect_same(const PreparedWeight& a, const PreparedWeight& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.scheme, b.scheme);
  EXPECT_EQ(a.activation, b.activation);
  EXPECT_EQ(a.format, b.format);
  EXPECT_EQ(a.num_experts, b.num_experts);
  EXPECT_EQ(a.out_features, b.out_features);
  EXPECT_EQ(a.in_features, b.in_features);
  EXPECT_EQ(a.block_size, b.block_size);
  EXPECT_EQ(a.scale2, b.scale2);
  EXPECT_EQ(a.per_row_scale, b.per_row_scale);
  EXPECT_EQ(a.input_scale, b.input_scale);
  EXPECT_EQ(a.input_rule, b.input_rule);
  ASSERT_EQ(a.elements.size(), b.elements.size());
  EXPECT_EQ(std::memcmp(a.elements.data(), b.elements.data(), a.elements.size()), 0);
  ASSERT_EQ(a.block_scales.size(), b.block_scales.size());
  if (a.block_size == 0) return;
  EXPECT_EQ(std::memcmp(a.block_scales.data(), b.block_scales.data(), a.block_scales.size()), 0);
}

class ExpertSpellings : public testing::TestWithParam<Kind> {};

constexpr MatrixShape kInward{kInner, kHidden};
constexpr MatrixShape kOutward{kHidden, kInner};

TEST_P(ExpertSpellings, FusedAndOneByOnePrepareTheSameBytes) {
  const Experts experts(GetParam());
  const OpenedCheckpoint single(one_by_one(experts));
  ASSERT_TRUE(single.ok());
  for (const std::string dot : {"_", "."}) {
    if (GetParam() == Kind::kFp8) continue;  // a fused matrix has no two scales per expert but per row
    const OpenedCheckpoint together(fused(experts, dot));
    ASSERT_TRUE(together.ok());
    CheckpointSource a(*single, "one by one", ActivationRequest::kCheckpoint);
    CheckpointSource b(*together, "fused", ActivationRequest::kCheckpoint);
    for (const std::string projection : {"gate_proj", "up_proj", "down_proj"}) {
      const MatrixShape shape = projection == "down_proj" ? kOutward : kInward;
      auto weight = a.experts(kPrefix, projection, kExperts, shape);
      auto fused_weight = b.experts(kPrefix, projection, kExperts, shape);
      ASSERT_TRUE(weight.ok()) << weight.error().to_string();
      ASSERT_TRUE(fused_weight.ok()) << fused_weight.error().to_string();
      SCOPED_TRACE(projection + dot);
      expect_same(*weight, *fused_weight);
    }
    EXPECT_TRUE(a.finish().ok());
    EXPECT_TRUE(b.finish().ok());
  }
}

TEST_P(ExpertSpellings, EveryExpertKeepsItsBytesAndScales) {
  const Experts experts(GetParam());
  const OpenedCheckpoint single(one_by_one(experts));
  ASSERT_TRUE(single.ok());
  CheckpointSource source(*single, "x", ActivationRequest::kCheckpoint);
  auto weight = source.experts(kPrefix, "up_proj", kExperts, kInward);
  ASSERT_TRUE(weight.ok()) << weight.error().to_string();
  std::string data, block_scales;
  std::vector<float> scale2, input_scale;
  for (const Matrix& m : experts.up) {
    data += m.data;
    block_scales += m.block_scales;
    if (GetParam() == Kind::kFp8PerRow) {
      scale2.insert(scale2.end(), m.row_scales.begin(), m.row_scales.end());
    } else if (GetParam() != Kind::kBF16) {
      scale2.push_back(GetParam() == Kind::kCompressedTensors ? 1 / m.scale2 : m.scale2);
      input_scale.push_back(m.input_scale);  // as stored, also when it divides
    }
  }
  ASSERT_EQ(weight->elements.size(), data.size());
  EXPECT_EQ(std::memcmp(weight->elements.data(), data.data(), data.size()), 0);
  ASSERT_EQ(weight->block_scales.size(), block_scales.size());
  EXPECT_EQ(weight->scale2, scale2);
  EXPECT_EQ(weight->input_scale, input_scale);
  const bool divides = GetParam() == Kind::kCompressedTensors;
  EXPECT_EQ(weight->input_rule, divides ? QuantizerRule::kCompressedTensors : QuantizerRule::kModelOpt);
  const std::size_t num_floats = scale2.size() + input_scale.size();
  EXPECT_EQ(weight->num_bytes(), data.size() + block_scales.size() + 4 * num_floats);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ExpertSpellings,
                         testing::Values(Kind::kBF16, Kind::kModelOpt, Kind::kCompressedTensors, Kind::kFp8,
                                         Kind::kFp8PerRow),
                         kind_name);

// ---- what cannot be prepared ----

void expect_error(const SafetensorsText& tensors, const std::string& projection, std::uint32_t num_experts,
                  const std::vector<std::string>& words) {
  const OpenedCheckpoint checkpoint(tensors);
  ASSERT_TRUE(checkpoint.ok());
  CheckpointSource source(*checkpoint, "some/model", ActivationRequest::kCheckpoint);
  const auto weight = source.experts(kPrefix, projection, num_experts, projection == "down_proj" ? kOutward : kInward);
  ASSERT_FALSE(weight.ok());
  const std::string text = weight.error().to_string();
  EXPECT_THAT(text, testing::StartsWith("some/model"));
  EXPECT_THAT(text, testing::Not(HasSubstr("\n")));
  for (const std::string& word : words) EXPECT_THAT(text, HasSubstr(word));
}

TEST(ExpertErrors, AMissingExpertIsNamed) {
  const SafetensorsText tensors = one_by_one(Experts(Kind::kModelOpt));
  expect_error(tensors, "up_proj", kExperts + 1, {"experts.3.up_proj.weight", "does not have it"});
  // The number is only a claim: no memory for four billion experts is asked for first.
  expect_error(tensors, "up_proj", 0xFFFFFFFF, {"experts.3.up_proj.weight", "does not have it"});
  expect_error(SafetensorsText(), "gate_proj", kExperts, {"experts.0.gate_proj.weight"});
}

TEST(ExpertErrors, AWrongShapeIsNamed) {
  Experts experts(Kind::kModelOpt);
  experts.up[1] = some_matrix(Kind::kModelOpt, kInner, kHidden + 16, 5);
  expect_error(one_by_one(experts), "up_proj", kExperts, {"experts.1.up_proj.weight", "[32, 80]", "[32, 64]"});
  expect_error(fused(Experts(Kind::kBF16), "_"), "up_proj", 2, {"experts.gate_up_proj", "[3, 64, 64]", "[2, 64, 64]"});
  expect_error(fused(Experts(Kind::kBF16), "_"), "down_proj", 4, {"experts.down_proj", "[3, 64, 32]"});
}

TEST(ExpertErrors, ExpertsOfDifferentSchemesAreRefused) {
  for (const Kind other : {Kind::kBF16, Kind::kFp8, Kind::kFp8PerRow, Kind::kCompressedTensors}) {
    Experts experts(Kind::kModelOpt);
    SafetensorsText tensors;
    for (std::size_t e = 0; e < kExperts; ++e) {
      const Kind kind = e == 2 ? other : Kind::kModelOpt;
      add_one(tensors, kind, fmt::format("{}.{}.up_proj", kPrefix, e), some_matrix(kind, kInner, kHidden, e));
    }
    expect_error(tensors, "up_proj", kExperts, {"experts.2.up_proj.weight", "quantised alike"});
  }
}

TEST(ExpertErrors, PreQuantScalesOfExpertsAreRefused) {
  const Experts experts(Kind::kModelOpt);
  const std::vector<float> scale(kHidden, 2.0F);
  SafetensorsText tensors = one_by_one(experts);
  tensors.add_values(kPrefix + ".1.up_proj.pre_quant_scale", "F32", {kHidden}, scale);
  expect_error(tensors, "up_proj", kExperts, {"experts.1.up_proj.pre_quant_scale", "AWQ"});
  tensors = fused(experts, ".");
  tensors.add_values(kPrefix + ".gate_up_proj.pre_quant_scale", "F32", {kHidden}, scale);
  expect_error(tensors, "gate_proj", kExperts, {"experts.gate_up_proj.pre_quant_scale", "AWQ"});
}

// As Llama 4's exporter does it: [E, in / 2, out].
TEST(ExpertErrors, TransposedStorageIsRefused) {
  SafetensorsText tensors;
  const std::string name = kPrefix + ".gate_up_proj";
  tensors.add(name, "U8", {kExperts, kHidden / 2, 2 * kInner}, some_bytes(kExperts * kHidden * kInner, 1, 0xFF));
  tensors.add(name + "_weight_scale", "F8_E4M3", {kExperts, kHidden / 16, 2 * kInner},
              some_bytes(kExperts * kHidden / 16 * 2 * kInner, 2, 0x5F));
  tensors.add_values(name + "_weight_scale_2", "F32", {}, std::vector<float>{0.5F});
  expect_error(tensors, "up_proj", kExperts, {"experts.gate_up_proj", "transposed"});
}

}  // namespace
}  // namespace nvfp4::prepare
