// Loading holds each weight once: the peak of a process that loads a model is what the model needs, and little more.
// Linux only (/proc); not under sanitizers, which have memory of their own.
#include <gtest/gtest.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NVFP4_MEMORY_IS_OURS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define NVFP4_MEMORY_IS_OURS 0
#endif
#endif
#ifndef NVFP4_MEMORY_IS_OURS
#define NVFP4_MEMORY_IS_OURS 1
#endif

#if defined(__linux__) && NVFP4_MEMORY_IS_OURS
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "models/load_model.h"
#include "support/temporary_directory.h"

namespace nvfp4 {
namespace {

constexpr std::uint64_t kHidden = 1024;
constexpr std::uint64_t kInner = 512;
constexpr std::uint64_t kHeadDim = 64;
constexpr std::uint64_t kHeads = 8;
constexpr std::uint64_t kKvHeads = 2;
constexpr std::uint64_t kVocab = 8192;
constexpr int kLayers = 3;
constexpr int kExperts = 64;

// A file of two parts: scalars, all 1, and a hole that reads as zeros.
class SparseCheckpoint {
 public:
  SparseCheckpoint() {
    for (int layer = 0; layer < kLayers; ++layer) add_layer(fmt::format("model.layers.{}", layer));
    plain("model.embed_tokens.weight", {kVocab, kHidden});
    plain("lm_head.weight", {kVocab, kHidden});
    plain("model.norm.weight", {kHidden});
    write();
  }
  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }
  [[nodiscard]] std::uint64_t num_bytes() const { return hole_bytes_; }

 private:
  struct Tensor {
    std::string name, dtype;
    std::vector<std::uint64_t> shape;
    std::uint64_t num_bytes;
  };

  void add_layer(const std::string& layer) {
    for (int expert = 0; expert < kExperts; ++expert) {
      const std::string prefix = fmt::format("{}.mlp.experts.{}.", layer, expert);
      nvfp4(prefix + "gate_proj", kInner, kHidden);
      nvfp4(prefix + "up_proj", kInner, kHidden);
      nvfp4(prefix + "down_proj", kHidden, kInner);
    }
    plain(layer + ".mlp.gate.weight", {kExperts, kHidden});
    nvfp4(layer + ".self_attn.q_proj", kHeads * kHeadDim, kHidden);
    nvfp4(layer + ".self_attn.k_proj", kKvHeads * kHeadDim, kHidden);
    nvfp4(layer + ".self_attn.v_proj", kKvHeads * kHeadDim, kHidden);
    nvfp4(layer + ".self_attn.o_proj", kHidden, kHeads * kHeadDim);
    plain(layer + ".self_attn.q_norm.weight", {kHeadDim});
    plain(layer + ".self_attn.k_norm.weight", {kHeadDim});
    plain(layer + ".input_layernorm.weight", {kHidden});
    plain(layer + ".post_attention_layernorm.weight", {kHidden});
  }
  void plain(const std::string& name, std::vector<std::uint64_t> shape) {
    std::uint64_t count = 1;
    for (const std::uint64_t size : shape) count *= size;
    hole_.push_back({name, "BF16", std::move(shape), 2 * count});
  }
  void nvfp4(const std::string& module, std::uint64_t rows, std::uint64_t cols) {
    scalars_.push_back(module + ".weight_scale_2");
    scalars_.push_back(module + ".input_scale");
    hole_.push_back({module + ".weight", "U8", {rows, cols / 2}, rows * cols / 2});
    hole_.push_back({module + ".weight_scale", "F8_E4M3", {rows, cols / 16}, rows * cols / 16});
  }

  void write() {
    std::string header;
    std::uint64_t at = 0;
    for (const std::string& name : scalars_) {
      header += fmt::format(R"("{}":{{"dtype":"F32","shape":[],"data_offsets":[{},{}]}},)", name, at, at + 4);
      at += 4;
    }
    for (const Tensor& tensor : hole_) {
      std::string shape;
      for (const std::uint64_t size : tensor.shape) shape += fmt::format("{}{}", shape.empty() ? "" : ",", size);
      header += fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)", tensor.name, tensor.dtype,
                            shape, at, at + tensor.num_bytes);
      at += tensor.num_bytes;
      hole_bytes_ += tensor.num_bytes;
    }
    header = "{" + header.substr(0, header.size() - 1) + "}";
    const std::uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
    file += header;
    const std::vector<float> ones(scalars_.size(), 1.0F);
    file.append(reinterpret_cast<const char*>(ones.data()), ones.size() * sizeof(float));
    std::filesystem::resize_file(directory_.write("model.safetensors", file), 8 + length + at);
    directory_.write("config.json",
                     fmt::format(R"({{"architectures": ["Qwen3MoeForCausalLM"],
      "hidden_size": {}, "num_hidden_layers": {}, "num_attention_heads": {}, "num_key_value_heads": {}, "head_dim": {},
      "vocab_size": {}, "max_position_embeddings": 4096, "num_experts": {}, "num_experts_per_tok": 8,
      "moe_intermediate_size": {}, "norm_topk_prob": true}})",
                                 kHidden, kLayers, kHeads, kKvHeads, kHeadDim, kVocab, kExperts, kInner));
  }

  support::TemporaryDirectory directory_;
  std::vector<std::string> scalars_;
  std::vector<Tensor> hole_;
  std::uint64_t hole_bytes_ = 0;
};

// A line of /proc/self/status, in bytes.
std::uint64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stoull(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

struct Measured {
  bool ok = false;
  std::uint64_t peak_bytes = 0;      // more than before
  std::uint64_t prepared_bytes = 0;  // of all weights
};

Measured load(const std::filesystem::path& directory, LoadMode mode) {
  Measured measured;
  const std::uint64_t before = status_bytes("VmRSS");
  const auto checkpoint = Checkpoint::open(directory, {mode});
  if (!checkpoint) {
    std::fprintf(stderr, "%s\n", checkpoint.error().to_string().c_str());
    return measured;
  }
  WorkerPool pool(2);
  const auto model = models::load_model(*checkpoint, "model", {}, pool);
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().to_string().c_str());
    return measured;
  }
  measured.ok = true;
  measured.peak_bytes = status_bytes("VmHWM") - before;
  measured.prepared_bytes = (*model)->plan().weight_bytes;
  return measured;
}

// In a process of its own, whose peak is nobody else's.
Measured load_in_child(const std::filesystem::path& directory, LoadMode mode) {
  int ends[2];
  Measured measured;
  if (::pipe(ends) != 0) return measured;
  const pid_t child = ::fork();
  if (child == 0) {
    const Measured result = load(directory, mode);
    ::_exit(::write(ends[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
  }
  ::close(ends[1]);
  if (::read(ends[0], &measured, sizeof(measured)) != sizeof(measured)) measured.ok = false;
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return measured;
}

// What comes on top: the description of 1,900 tensors (below 1 MB), the allocator's slack, pages of code that loading
// runs, and the rounding of large buffers to pages of 2 MB, two for each of the 3 projections of a layer's experts and
// one for each large matrix. It is less than any projection of a layer's experts (16 MB): a second copy of one is seen.
constexpr std::uint64_t kSlackBytes = 12 << 20;

TEST(PeakMemory, LoadingHoldsEachWeightOnce) {
  const SparseCheckpoint checkpoint;
  ASSERT_GT(checkpoint.num_bytes(), 180U << 20);
  for (const LoadMode mode : {LoadMode::kRead, LoadMode::kMap}) {
    const Measured measured = load_in_child(checkpoint.path(), mode);
    ASSERT_TRUE(measured.ok);
    // All of the file but the norms, and scales of 4 bytes.
    EXPECT_GT(measured.prepared_bytes, checkpoint.num_bytes() - (1U << 20));
    EXPECT_LT(measured.prepared_bytes, checkpoint.num_bytes() + (1U << 20));
    EXPECT_GT(measured.peak_bytes, measured.prepared_bytes / 10 * 9) << "the measure does not see the weights";
    EXPECT_LT(measured.peak_bytes, measured.prepared_bytes + kSlackBytes)
        << (mode == LoadMode::kRead ? "read" : "mapped");
    RecordProperty("beyond_weights_kb", static_cast<int>((measured.peak_bytes - measured.prepared_bytes) / 1024));
  }
}

}  // namespace
}  // namespace nvfp4

#endif
