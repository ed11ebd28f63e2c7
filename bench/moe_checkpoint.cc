#include "moe_checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace nvfp4::bench {
namespace {

// In the order in which the writer sorts them.
enum class Part { kInputScale, kScale2, kBlockScales, kCodes };

struct Tensor {
  std::string name;
  std::string_view dtype;
  Part part = Part::kCodes;
  std::uint64_t rows = 0;  // 0: a scalar
  std::uint64_t cols = 0;
  [[nodiscard]] std::uint64_t num_bytes() const { return rows == 0 ? sizeof(float) : rows * cols; }
};

int order_of(const Tensor& tensor) {
  return tensor.rows == 0 ? 0 : tensor.part == Part::kBlockScales ? 1 : 2;  // F32, F8_E4M3, U8
}

Error failed(const std::filesystem::path& path, std::string_view call) {
  return {ErrorCode::kIo, path.string(), fmt::format("{} failed: {}", call, system_error_text(errno))};
}

Status write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.flush()) return failed(path, "write");
  return {};
}

std::vector<Tensor> tensors_of(std::string_view module, std::uint64_t rows, std::uint64_t cols) {
  return {{fmt::format("{}.input_scale", module), "F32", Part::kInputScale},
          {fmt::format("{}.weight", module), "U8", Part::kCodes, rows, cols / 2},
          {fmt::format("{}.weight_scale", module), "F8_E4M3", Part::kBlockScales, rows, cols / 16},
          {fmt::format("{}.weight_scale_2", module), "F32", Part::kScale2}};
}

std::vector<std::vector<Tensor>> shards_of(const MoeCheckpoint& model) {
  std::vector<std::vector<Tensor>> shards(model.num_shards);
  const std::uint64_t num_modules = std::uint64_t{3} * model.num_layers * model.num_experts;
  std::uint64_t module_idx = 0;
  for (std::uint32_t layer = 0; layer < model.num_layers; ++layer) {
    for (std::uint32_t expert = 0; expert < model.num_experts; ++expert) {
      for (const std::string_view projection : {"down_proj", "gate_proj", "up_proj"}) {
        const bool down = projection == "down_proj";
        std::vector<Tensor>& shard = shards[module_idx++ * model.num_shards / num_modules];
        auto tensors = tensors_of(fmt::format("model.layers.{}.mlp.experts.{}.{}", layer, expert, projection),
                                  down ? model.hidden_size : model.intermediate_size,
                                  down ? model.intermediate_size : model.hidden_size);
        std::move(tensors.begin(), tensors.end(), std::back_inserter(shard));
      }
    }
  }
  for (std::vector<Tensor>& shard : shards) {
    std::sort(shard.begin(), shard.end(), [](const Tensor& a, const Tensor& b) {
      return order_of(a) != order_of(b) ? order_of(a) < order_of(b) : a.name < b.name;
    });
  }
  return shards;
}

std::string header_of(const std::vector<Tensor>& tensors) {
  std::string json = R"({"__metadata__":{"format":"pt"})";
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    const std::string shape = tensor.rows == 0 ? "[]" : fmt::format("[{},{}]", tensor.rows, tensor.cols);
    json += fmt::format(R"(,"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", tensor.name, tensor.dtype, shape,
                        offset, offset + tensor.num_bytes());
    offset += tensor.num_bytes();
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  std::string header(8, '\0');
  const std::uint64_t size = json.size();
  std::memcpy(header.data(), &size, sizeof(size));
  return header + json;
}

// Random bytes of a fixed seed; block scales get normal numbers between 2^-6 and 240.
class Filler {
 public:
  void fill(Part part, std::span<std::uint64_t> words) {
    for (std::uint64_t& word : words) {
      state_ ^= state_ << 13U;
      state_ ^= state_ >> 7U;
      state_ ^= state_ << 17U;
      word = state_;
      if (part == Part::kBlockScales) word = (word & 0x6767676767676767U) | 0x0808080808080808U;
    }
  }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C15U;
};

// A file being written from its begin to its end.
class Output {
 public:
  explicit Output(std::filesystem::path path)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {}

  Status append(const void* data, std::size_t num_bytes) {
    const char* at = static_cast<const char*>(data);
    while (num_bytes > 0) {
      const ssize_t written = ::write(fd_.get(), at, num_bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return failed(path_, "write");
      at += written;
      num_bytes -= static_cast<std::size_t>(written);
    }
    return {};
  }
  Status grow_to(std::uint64_t num_bytes) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(num_bytes)) != 0) return failed(path_, "ftruncate");
    return {};
  }
  // So that nothing is written back while the clock runs.
  Status sync() {
    if (::fdatasync(fd_.get()) != 0) return failed(path_, "fdatasync");
    return {};
  }

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
};

Status write_shard(const std::filesystem::path& path, const std::vector<Tensor>& tensors, bool filled, Filler& filler) {
  Output file(path);
  const std::string header = header_of(tensors);
  NVFP4_RETURN_IF_ERROR(file.append(header.data(), header.size()));
  std::vector<float> scales;
  std::uint64_t num_bytes = header.size();
  for (const Tensor& tensor : tensors) {
    num_bytes += tensor.num_bytes();
    if (tensor.rows != 0) continue;
    const auto step = static_cast<float>(scales.size() % 7);
    scales.push_back(tensor.part == Part::kScale2 ? 1e-4F + 1e-6F * step : 2e-3F + 1e-5F * step);
  }
  NVFP4_RETURN_IF_ERROR(file.append(scales.data(), scales.size() * sizeof(float)));
  if (!filled) return file.grow_to(num_bytes);
  std::vector<std::uint64_t> words;
  for (const Tensor& tensor : tensors) {
    if (tensor.rows == 0) continue;
    words.resize(tensor.num_bytes() / sizeof(std::uint64_t));
    filler.fill(tensor.part, words);
    NVFP4_RETURN_IF_ERROR(file.append(words.data(), words.size() * sizeof(std::uint64_t)));
  }
  return file.sync();
}

std::string index_of(const std::vector<std::vector<Tensor>>& shards, const std::vector<std::string>& files) {
  std::vector<std::pair<std::string_view, std::string_view>> places;
  std::uint64_t num_bytes = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const Tensor& tensor : shards[i]) {
      places.emplace_back(tensor.name, files[i]);
      num_bytes += tensor.num_bytes();
    }
  }
  std::sort(places.begin(), places.end());
  std::string json =
      fmt::format("{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{", num_bytes);
  std::string_view comma = "";
  for (const auto& [name, file] : places) {
    json += fmt::format("{}\n    \"{}\": \"{}\"", comma, name, file);
    comma = ",";
  }
  return json + "\n  }\n}\n";
}

Status write_configs(const std::filesystem::path& directory, const MoeCheckpoint& model) {
  const std::string config = fmt::format(
      R"({{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "bfloat16",
 "hidden_size": {}, "moe_intermediate_size": {}, "num_hidden_layers": {}, "num_experts": {}, "num_experts_per_tok": 8,
 "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936}}
)",
      model.hidden_size, model.intermediate_size, model.num_layers, model.num_experts);
  NVFP4_RETURN_IF_ERROR(write_text(directory / "config.json", config));
  return write_text(directory / "hf_quant_config.json",
                    R"({"producer": {"name": "modelopt", "version": "0.47.0"},
 "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": null, "group_size": 16, "exclude_modules": ["lm_head"]}}
)");
}

}  // namespace

Status write_moe_checkpoint(const std::filesystem::path& directory, const MoeCheckpoint& model) {
  NVFP4_RETURN_IF_ERROR(write_configs(directory, model));
  const std::vector<std::vector<Tensor>> shards = shards_of(model);
  std::vector<std::string> files;
  Filler filler;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    files.push_back(shards.size() == 1 ? "model.safetensors"
                                       : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
    NVFP4_RETURN_IF_ERROR(write_shard(directory / files[i], shards[i], model.filled, filler));
  }
  if (shards.size() == 1) return {};
  return write_text(directory / "model.safetensors.index.json", index_of(shards, files));
}

}  // namespace nvfp4::bench
