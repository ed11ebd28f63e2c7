// Every fixture against what its producer's own library says: tests/fixtures/NAME.golden.json beside the checkpoint
// NAME.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "nvfp4/checkpoint.h"

namespace nvfp4 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::vector<std::string> fixture_names() {
  constexpr std::string_view kSuffix = ".golden.json";
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(NVFP4_FIXTURES)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kSuffix)) names.push_back(name.substr(0, name.size() - kSuffix.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

template <class T>
std::vector<T> values(std::span<const T> view) {
  return {view.begin(), view.end()};
}

// sum over i of (i + 1) * bits[i], modulo 2^64.
std::uint64_t checksum(const std::vector<float>& values) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += (i + 1) * std::bit_cast<std::uint32_t>(values[i]);
  return sum;
}

std::vector<float> floats(const Json& value) {
  std::vector<float> out;
  if (value.is_number()) out.push_back(value.get<float>());
  if (value.is_array()) {
    for (const Json& element : value) {
      // JSON has no infinity; the goldens spell it.
      out.push_back(element.is_string() ? std::strtof(element.get<std::string>().c_str(), nullptr)
                                        : element.get<float>());
    }
  }
  return out;
}

fs::path directory_of(const Json& golden, const std::string& name) {
  fs::path path = fs::path(NVFP4_FIXTURES) / name;
  return golden.contains("directory") ? fs::path(NVFP4_FIXTURES) / golden["directory"].get<std::string>() : path;
}

class Golden : public testing::TestWithParam<std::tuple<std::string, LoadMode>> {
 protected:
  void SetUp() override {
    std::ifstream file(fs::path(NVFP4_FIXTURES) / (std::get<0>(GetParam()) + ".golden.json"));
    golden_ = Json::parse(file);
    auto opened =
        Checkpoint::open(directory_of(golden_, std::get<0>(GetParam())), {.load_mode = std::get<1>(GetParam())});
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    checkpoint_.emplace(std::move(opened).value());
  }

  const DescribedTensor* weight(const Json& entry) const {
    const DescribedTensor* found = checkpoint_->find(entry["name"].get<std::string>());
    EXPECT_NE(found, nullptr) << entry["name"];
    return found;
  }

  Json golden_;
  std::optional<Checkpoint> checkpoint_;
};

TEST_P(Golden, DescribesTheModel) {
  EXPECT_EQ(checkpoint_->producer(), golden_["producer"].get<std::string>());
  EXPECT_EQ(checkpoint_->architecture(), golden_["architecture"].get<std::string>());
  EXPECT_EQ(checkpoint_->kv_cache_scheme(),
            golden_["kv_cache_scheme"].is_null() ? "" : golden_["kv_cache_scheme"].get<std::string>());
  EXPECT_EQ(checkpoint_->weights().size(), golden_["weights"].size());
  EXPECT_EQ(checkpoint_->stored_tensors().size(), golden_["num_stored_tensors"]);
  std::map<std::string, float> kv;
  for (const KvScale& scale : checkpoint_->kv_scales()) kv.emplace(scale.name, scale.scale);
  EXPECT_EQ(kv, (golden_["kv_scales"].get<std::map<std::string, float>>()));
}

TEST_P(Golden, DescribesEveryWeight) {
  for (const Json& entry : golden_["weights"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const DescribedTensor* w = weight(entry);
    if (w == nullptr) continue;
    EXPECT_EQ(scheme_name(*w), entry["scheme"].get<std::string>());
    EXPECT_EQ(values(w->shape), entry["shape"].get<std::vector<std::uint64_t>>());
    EXPECT_EQ(w->transposed, entry["transposed"]);
    EXPECT_EQ(activation_name(w->activation), entry["activation"].get<std::string>());
    EXPECT_EQ(values(w->input_scale), floats(entry["input_scale"]));
    if (entry.contains("scale2")) {
      std::vector<float> scale2 = floats(entry["scale2"]);
      // One stored scale for all experts is handed out once per expert.
      if (scale2.size() == 1) scale2.resize(w->num_experts(), scale2[0]);
      EXPECT_EQ(values(w->scale2), scale2);
    }
    if (entry.contains("block_size")) {
      EXPECT_EQ(w->block_size, entry["block_size"]);
    }
  }
}

TEST_P(Golden, ReconstructsEveryWeightBitForBit) {
  for (const Json& entry : golden_["weights"]) {
    if (!entry.contains("checksum")) continue;
    SCOPED_TRACE(entry["name"].get<std::string>());
    const DescribedTensor* w = weight(entry);
    if (w == nullptr) continue;
    std::vector<float> elements(w->num_elements());
    const std::uint64_t rows = w->num_elements() / w->in_features();
    const Status status = checkpoint_->dequantize_rows(*w, 0, rows, elements);
    ASSERT_TRUE(status.ok()) << status.error().to_string();
    for (const Json& sample : entry["samples"]) {
      const auto bits = static_cast<std::uint32_t>(std::stoul(sample[1].get<std::string>(), nullptr, 16));
      EXPECT_EQ(std::bit_cast<std::uint32_t>(elements[sample[0].get<std::size_t>()]), bits) << "element " << sample[0];
    }
    EXPECT_EQ(checksum(elements), std::stoull(entry["checksum"].get<std::string>(), nullptr, 16));
  }
}

TEST_P(Golden, ConsumesOrListsEveryTensor) {
  std::set<std::string> seen;
  for (const DescribedTensor& w : checkpoint_->weights()) {
    for (const StoredTensor* tensor :
         {w.data, w.block_scales, w.row_scales, w.scale2_tensor, w.input_scale_tensor, w.pre_quant_scale}) {
      if (tensor != nullptr) seen.emplace(tensor->name);
    }
  }
  for (const KvScale& scale : checkpoint_->kv_scales()) seen.emplace(scale.name);
  std::set<std::string> ignored;
  for (const Finding& finding : checkpoint_->ignored()) ignored.insert(finding.name);
  for (const StoredTensor& tensor : checkpoint_->stored_tensors()) {
    EXPECT_TRUE(seen.contains(std::string(tensor.name)) || ignored.contains(std::string(tensor.name))) << tensor.name;
  }
  for (const Json& name : golden_["ignored"]) EXPECT_TRUE(ignored.contains(name.get<std::string>())) << name;
}

TEST_P(Golden, ReportsExactlyTheWeightsThatTheConfigurationMisdescribes) {
  std::set<std::string> names;
  for (const Finding& finding : checkpoint_->conflicts()) {
    if (checkpoint_->find(finding.name) != nullptr) names.insert(finding.name);
  }
  EXPECT_EQ(names, golden_["conflicts"].get<std::set<std::string>>());
}

std::string test_name(const testing::TestParamInfo<Golden::ParamType>& info) {
  std::string name = std::get<0>(info.param) + (std::get<1>(info.param) == LoadMode::kMap ? "_map" : "_read");
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden,
                         testing::Combine(testing::ValuesIn(fixture_names()),
                                          testing::Values(LoadMode::kMap, LoadMode::kRead)),
                         test_name);

}  // namespace
}  // namespace nvfp4
