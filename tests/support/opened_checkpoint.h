// A checkpoint made of a list of tensors, written to a temporary directory and opened.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "nvfp4/checkpoint.h"
#include "support/checkpoint_builder.h"
#include "support/temporary_directory.h"

namespace nvfp4::support {

class OpenedCheckpoint {
 public:
  static constexpr const char* kConfig = R"({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"})";

  explicit OpenedCheckpoint(const SafetensorsText& tensors, const std::string& config = kConfig) {
    directory_.write("config.json", config);
    directory_.write("model.safetensors", tensors.file());
    auto opened = Checkpoint::open(directory_.path());
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().to_string());
    if (opened) checkpoint_ = std::move(opened).value();
  }

  [[nodiscard]] bool ok() const { return checkpoint_.has_value(); }
  const Checkpoint& operator*() const { return *checkpoint_; }
  const Checkpoint* operator->() const { return &*checkpoint_; }

 private:
  TemporaryDirectory directory_;
  std::optional<Checkpoint> checkpoint_;
};

}  // namespace nvfp4::support
