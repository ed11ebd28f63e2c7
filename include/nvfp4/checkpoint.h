// Opens a checkpoint directory (ModelOpt, compressed-tensors, or unquantised safetensors) and describes every weight.
//
//   auto checkpoint = nvfp4::Checkpoint::open("path/to/model");
//   if (!checkpoint) { puts(checkpoint.error().to_string().c_str()); return 2; }
//   for (const nvfp4::DescribedTensor& w : checkpoint->weights()) ...
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4 {

enum class LoadMode : std::uint8_t {
  kMap,   // map the files; a file that shrinks under the map gives an Error at the next call, not a signal
  kRead,  // plain reads into owned memory; never maps
};

struct OpenOptions {
  LoadMode load_mode = LoadMode::kMap;
};

struct SourceFile {
  std::filesystem::path path;
  std::uint64_t num_bytes = 0;
};

// One thing that the reader noticed and wants people to know.
struct Finding {
  std::string name;     // tensor, module or config field concerned
  std::string message;  // what it is, and what was done about it
};

// A scale of the key-value cache, FP32 multiplier.
struct KvScale {
  std::string_view name;  // tensor name, "...k_proj.k_scale"
  float scale = 1.0F;
};

class Checkpoint {
 public:
  // Reads config, headers and scalar scales; touches no weight bytes. Errors name file, tensor or field.
  [[nodiscard]] static Result<Checkpoint> open(const std::filesystem::path& directory, const OpenOptions& options = {});

  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  [[nodiscard]] const std::string& producer() const;  // "modelopt 0.44.0", "compressed-tensors 0.13.0", "unquantized"
  [[nodiscard]] const std::string& architecture() const;  // config.json architectures[0], else model_type
  [[nodiscard]] const std::string& config_json() const;   // config.json, with Python's bare NaN/Infinity made strings
  [[nodiscard]] const std::string& kv_cache_scheme() const;  // "fp8", "nvfp4", ... as declared; empty: none

  [[nodiscard]] std::span<const SourceFile> files() const;
  [[nodiscard]] std::span<const StoredTensor> stored_tensors() const;  // every tensor of every file
  [[nodiscard]] std::span<const DescribedTensor> weights() const;      // in the order of the files
  [[nodiscard]] std::span<const KvScale> kv_scales() const;
  [[nodiscard]] std::span<const Finding> conflicts() const;  // config against tensors; the tensors were believed
  [[nodiscard]] std::span<const Finding> repairs() const;    // scales replaced by a stated rule (docs/checkpoints.md)
  [[nodiscard]] std::span<const Finding> ignored() const;    // tensors deliberately not part of the text model

  // By parameter name ("x.weight"), module name ("x") or stored name ("x.weight_packed"); null when there is none.
  [[nodiscard]] const DescribedTensor* find(std::string_view name) const;

  // The bytes of a stored tensor. In kMap mode a view of the file; call verify() after reading them.
  [[nodiscard]] Result<TensorBytes> bytes(const StoredTensor& tensor) const;
  // Copies bytes [offset, offset + out.size()) of a stored tensor by a plain read, in either mode.
  [[nodiscard]] Status read(const StoredTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const;
  // An Error if any mapped file shrank since it was opened (what was read past its new end were zeros).
  [[nodiscard]] Status verify() const;

  // Rows [row_begin, row_end) of the weight as float32, row-major [rows, K], bit-equal to what the producer's own
  // library reconstructs in FP32. Rows run through all experts: 0 .. num_experts * N. 1-D tensors are one row.
  [[nodiscard]] Status dequantize_rows(const DescribedTensor& tensor, std::uint64_t row_begin, std::uint64_t row_end,
                                       std::span<float> out) const;

 private:
  struct State;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Turns a directory path or a Hugging Face id ("ORG/NAME", optionally "ORG/NAME@REVISION") that is in the local cache
// into a checkpoint directory. hub_cache is the folder that holds `models--ORG--NAME` ($HF_HUB_CACHE, $HF_HOME/hub or
// ~/.cache/huggingface/hub: the caller reads the environment).
[[nodiscard]] Result<std::filesystem::path> resolve_model_directory(std::string_view directory_or_id,
                                                                    const std::filesystem::path& hub_cache);

}  // namespace nvfp4
