#include "engine/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/temporary_directory.h"

namespace nvfp4::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GenerationConfigTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { directory_.write(name, text); }
  Result<GenerationConfig> read() {
    auto root = checkpoint::ModelRoot::open(directory_.path());
    EXPECT_TRUE(root.ok());
    return GenerationConfig::read(*root);
  }
  std::string refused(const std::string& text) {
    write("generation_config.json", text);
    const auto config = read();
    return config.ok() ? "accepted" : config.error().to_string();
  }

  support::TemporaryDirectory directory_;
};

TEST_F(GenerationConfigTest, ReadsEveryField) {
  write("generation_config.json",
        R"({"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1,
            "max_new_tokens": 4096, "eos_token_id": [151645, 151643, 151645], "pad_token_id": 151643})");
  write("config.json", R"({"eos_token_id": 1})");
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->sampling.temperature, 0.6F);
  EXPECT_EQ(config->sampling.top_p, 0.95F);
  EXPECT_EQ(config->sampling.top_k, 20U);
  EXPECT_EQ(config->sampling.min_p, 0.05F);
  EXPECT_EQ(config->sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(config->max_new_tokens, 4096U);
  EXPECT_THAT(config->eos_tokens, ElementsAre(151645, 151643));
}

TEST_F(GenerationConfigTest, KnowsWhenItIsGreedy) {
  const auto temperature = [&](const std::string& text) {
    write("generation_config.json", text);
    const auto config = read();
    EXPECT_TRUE(config.ok());
    return config.ok() ? config->sampling.temperature : -1.0F;
  };
  EXPECT_EQ(temperature(R"({"do_sample": false, "temperature": 0.6, "top_k": 20})"), 0.0F);
  EXPECT_EQ(temperature(R"({"do_sample": true})"), 1.0F);
  EXPECT_EQ(temperature(R"({"eos_token_id": 2})"), 0.0F);
  EXPECT_EQ(temperature(R"({"do_sample": null, "top_p": 0.9})"), 1.0F);
  EXPECT_EQ(temperature(R"({"temperature": 0.7, "top_k": -1})"), 0.7F);
}

TEST_F(GenerationConfigTest, FallsBackToTheModelsOwnEos) {
  EXPECT_THAT(read()->eos_tokens, IsEmpty());
  EXPECT_EQ(read()->sampling.temperature, 0.0F);
  write("config.json", R"({"eos_token_id": 7})");
  EXPECT_THAT(read()->eos_tokens, ElementsAre(7));
  write("config.json", R"({"text_config": {"eos_token_id": [8, 9]}})");
  EXPECT_THAT(read()->eos_tokens, ElementsAre(8, 9));
  write("generation_config.json", R"({"temperature": 0.5, "eos_token_id": null})");
  EXPECT_THAT(read()->eos_tokens, ElementsAre(8, 9));
  EXPECT_EQ(read()->sampling.temperature, 0.5F);
}

TEST_F(GenerationConfigTest, NamesFileAndFieldOfWhatIsWrong) {
  EXPECT_THAT(refused(R"({"temperature": "hot"})"),
              HasSubstr(R"(generation_config.json: temperature: expected a number, found "hot")"));
  EXPECT_THAT(refused(R"({"temperature": -1})"), HasSubstr("generation_config.json: temperature: -1 is not possible"));
  EXPECT_THAT(refused(R"({"temperature": Infinity})"), HasSubstr("temperature: expected a number"));
  EXPECT_THAT(refused(R"({"temperature": 1e300})"), HasSubstr("temperature: expected a number that FP32 holds"));
  EXPECT_THAT(refused(R"({"top_p": 2})"), HasSubstr("top_p: 2 is not possible; give a number from 0 to 1"));
  EXPECT_THAT(refused(R"({"top_k": 1.5})"), HasSubstr("top_k: expected a whole number"));
  EXPECT_THAT(refused(R"({"do_sample": 1})"), HasSubstr("do_sample: expected true or false"));
  EXPECT_THAT(refused(R"({"max_new_tokens": 0})"), HasSubstr("max_new_tokens: expected a whole number from 1"));
  EXPECT_THAT(refused(R"({"eos_token_id": [2, -3]})"), HasSubstr("eos_token_id[1]: expected a whole number"));
  EXPECT_THAT(refused(R"({"eos_token_id": "</s>"})"), HasSubstr("eos_token_id: expected a whole number"));
  EXPECT_THAT(refused(R"({"eos_token_id": 2)"), HasSubstr("generation_config.json: not valid JSON"));
}

}  // namespace
}  // namespace nvfp4::engine
