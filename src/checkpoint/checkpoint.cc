#include "nvfp4/checkpoint.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "checkpoint/config_document.h"
#include "checkpoint/dequantize.h"
#include "checkpoint/describe.h"
#include "checkpoint/model_config.h"
#include "checkpoint/model_root.h"
#include "checkpoint/quantization_map.h"
#include "checkpoint/schemes/schemes.h"
#include "checkpoint/tensor_files.h"
#include "checkpoint/tensor_role.h"

namespace nvfp4 {

struct Checkpoint::State {
  std::string config_json;
  checkpoint::ModelConfig model;
  checkpoint::QuantizationMap map;
  checkpoint::TensorFiles files;
  std::optional<checkpoint::Description> description;  // points into map and files; set once by open()

  explicit State(checkpoint::TensorFiles opened) : files(std::move(opened)) {}
};

Checkpoint::Checkpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& directory, const OpenOptions& options) {
  const auto root = checkpoint::ModelRoot::open(directory);
  if (!root) return root.error();
  auto config = checkpoint::ConfigDocument::read(*root, "config.json");
  if (!config) return std::move(config).error();
  auto hf_quant_config = checkpoint::ConfigDocument::read(*root, "hf_quant_config.json");
  if (!hf_quant_config) return std::move(hf_quant_config).error();
  auto model = checkpoint::read_model_config(*config);
  if (!model) return std::move(model).error();
  auto map = checkpoint::read_quantization_config(*hf_quant_config, *config);
  if (!map) return std::move(map).error();
  auto files = checkpoint::TensorFiles::open(directory, options.load_mode);
  if (!files) return std::move(files).error();

  auto state = std::make_unique<State>(std::move(files).value());
  state->model = std::move(model).value();
  state->map = std::move(map).value();
  if (*config) state->config_json = (*config)->text();
  auto description = checkpoint::describe(state->files, state->map, state->model);
  if (!description) return std::move(description).error();
  state->description = std::move(description).value();
  return Checkpoint(std::move(state));
}

const std::string& Checkpoint::producer() const { return state_->map.producer; }
const std::string& Checkpoint::architecture() const { return state_->model.architecture; }
const std::string& Checkpoint::config_json() const { return state_->config_json; }
const std::string& Checkpoint::kv_cache_scheme() const { return state_->map.kv_cache_scheme; }
std::span<const SourceFile> Checkpoint::files() const { return state_->files.files(); }
std::span<const StoredTensor> Checkpoint::stored_tensors() const { return state_->files.tensors(); }
std::span<const DescribedTensor> Checkpoint::weights() const { return state_->description->weights; }
std::span<const KvScale> Checkpoint::kv_scales() const { return state_->description->kv_scales; }
std::span<const Finding> Checkpoint::conflicts() const { return state_->description->conflicts; }
std::span<const Finding> Checkpoint::repairs() const { return state_->description->repairs; }
std::span<const Finding> Checkpoint::ignored() const { return state_->description->ignored; }

const DescribedTensor* Checkpoint::find(std::string_view name) const {
  // By scanning: people ask for one weight, engines walk weights().
  for (const DescribedTensor& weight : weights()) {
    if (weight.name == name || weight.data->name == name) return &weight;
    if (weight.name.size() == name.size() + 7 && weight.name.ends_with(".weight") && weight.name.starts_with(name))
      return &weight;
  }
  return nullptr;
}

Result<TensorBytes> Checkpoint::bytes(const StoredTensor& tensor) const { return state_->files.bytes(tensor); }
Status Checkpoint::read(const StoredTensor& tensor, std::uint64_t offset, std::span<std::byte> out) const {
  return state_->files.read(tensor, offset, out);
}
Status Checkpoint::verify() const { return state_->files.verify(); }

Status Checkpoint::dequantize_rows(const DescribedTensor& tensor, std::uint64_t row_begin, std::uint64_t row_end,
                                   std::span<float> out) const {
  return checkpoint::dequantize_rows(state_->files, tensor, row_begin, row_end, out);
}

}  // namespace nvfp4
