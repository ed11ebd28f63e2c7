#include "prepare/checkpoint_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "base/large_pages.h"
#include "formats/bf16.h"
#include "formats/fp16.h"

namespace nvfp4::prepare {
namespace {

using kernels::WeightFormat;

std::optional<WeightFormat> format_of(const DescribedTensor& tensor) {
  switch (tensor.scheme) {
    case Scheme::kNvfp4W4A4:
    case Scheme::kNvfp4W4A16:
      return WeightFormat::kNvfp4;
    case Scheme::kFp8:
      return WeightFormat::kFp8;
    case Scheme::kPlain:
      break;
  }
  switch (tensor.dtype) {
    case DType::kF32:
      return WeightFormat::kF32;
    case DType::kF16:
      return WeightFormat::kF16;
    case DType::kBF16:
      return WeightFormat::kBF16;
    default:
      return std::nullopt;
  }
}

std::uint64_t stored_bytes(const DescribedTensor& tensor) {
  return tensor.data->num_bytes() + (tensor.block_scales != nullptr ? tensor.block_scales->num_bytes() : 0);
}

bool same_kind(const DescribedTensor& a, const DescribedTensor& b) {
  return a.scheme == b.scheme && a.dtype == b.dtype && a.block_size == b.block_size && a.transposed == b.transposed &&
         a.per_row_scale == b.per_row_scale && a.convention == b.convention && a.activation == b.activation;
}

}  // namespace

CheckpointSource::CheckpointSource(const Checkpoint& checkpoint, std::string label, ActivationRequest request,
                                   OnProgress on_progress, WorkerPool* pool)
    : checkpoint_(checkpoint),
      label_(std::move(label)),
      request_(request),
      on_progress_(std::move(on_progress)),
      pool_(pool) {
  by_name_.reserve(checkpoint.weights().size());
  for (const DescribedTensor& weight : checkpoint.weights()) {
    by_name_.emplace(weight.name, &weight);
    total_bytes_ += stored_bytes(weight);
  }
}

Error CheckpointSource::error(std::string_view name, ErrorCode code, std::string message) const {
  return {code, fmt::format("{}: tensor \"{}\"", label_, name), std::move(message)};
}

bool CheckpointSource::has(std::string_view name) const { return by_name_.contains(name); }

Result<const DescribedTensor*> CheckpointSource::take(const std::string& name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    return error(name, ErrorCode::kNotFound,
                 fmt::format("{} needs it and the checkpoint does not have it; is the download complete?",
                             checkpoint_.architecture()));
  }
  taken_.insert(found->second);
  return found->second;
}

Status CheckpointSource::check_shape(const DescribedTensor& tensor, std::span<const std::uint64_t> expected) const {
  if (std::equal(tensor.shape.begin(), tensor.shape.end(), expected.begin(), expected.end())) return {};
  return error(tensor.name, ErrorCode::kContradiction,
               fmt::format("has shape [{}], but config.json asks for [{}]; one of the two files is not of this model",
                           fmt::join(tensor.shape, ", "), fmt::join(expected, ", ")));
}

// A grouped layer has one input for all its experts.
Status CheckpointSource::check_no_pre_quant_scale(const DescribedTensor& tensor) const {
  if (tensor.pre_quant_scale == nullptr) return {};
  return error(tensor.pre_quant_scale->name, ErrorCode::kUnsupported,
               "scales the input of an expert, which no kernel here does; export the experts without AWQ");
}

// Sizes and memory for num_experts matrices like `tensor`.
Status CheckpointSource::begin(const DescribedTensor& tensor, std::uint32_t num_experts, MatrixShape shape,
                               PreparedWeight& out) const {
  const std::optional<WeightFormat> format = format_of(tensor);
  if (!format) {
    return not_a_float(tensor);
  }
  if (tensor.transposed) {
    return error(tensor.name, ErrorCode::kUnsupported,
                 "is stored transposed, which no model that can be run does; export it with [out, in] matrices");
  }
  out.scheme = scheme_name(tensor);
  out.format = *format;
  out.num_experts = num_experts;
  out.out_features = shape.out_features;
  out.in_features = shape.in_features;
  out.block_size = tensor.block_size;
  out.per_row_scale = tensor.per_row_scale;
  if (!out.allocate()) return error(tensor.name, ErrorCode::kIo, "there is not enough memory for it");
  return set_activation(tensor, out);
}

Status CheckpointSource::set_activation(const DescribedTensor& tensor, PreparedWeight& out) const {
  const checkpoint::QuantizedInput input{out.format == WeightFormat::kNvfp4, out.block_size, tensor.activation,
                                         !tensor.input_scale.empty()};
  const auto choice =
      checkpoint::choose_activation(input, request_, fmt::format("{}: tensor \"{}\"", label_, tensor.name));
  NVFP4_RETURN_IF_ERROR(choice);
  out.activation = choice->activation;
  out.activation_reason = choice->reason.empty() ? tensor.activation_evidence : choice->reason;
  return {};
}

Error CheckpointSource::not_a_float(const DescribedTensor& tensor) const {
  return error(
      tensor.name, ErrorCode::kUnsupported,
      fmt::format("has elements of type {}; weights must be F32, F16, BF16, FP8 or NVFP4", dtype_name(tensor.dtype)));
}

// As the producer stores it: the reciprocal of a divisor need not give the divisor back.
Result<float> CheckpointSource::stored_input_scale(const DescribedTensor& tensor, std::uint64_t source_expert) const {
  const float multiplier = tensor.input_scale[tensor.input_scale.size() == 1 ? 0 : source_expert];
  if (tensor.convention == ScaleConvention::kMultiplier) return multiplier;
  const StoredTensor* stored = tensor.input_scale_tensor;
  if (stored != nullptr && stored->dtype == DType::kF32) {
    const std::uint64_t element_idx = stored->num_elements() == 1 ? 0 : source_expert;
    float divisor = 0;
    NVFP4_RETURN_IF_ERROR(
        checkpoint_.read(*stored, element_idx * sizeof(float), std::as_writable_bytes(std::span(&divisor, 1))));
    if (1.0F / divisor == multiplier) return divisor;
  }
  return 1.0F / multiplier;
}

// A small tensor of 16-bit or 32-bit floats.
Result<std::vector<float>> CheckpointSource::read_floats(const StoredTensor& stored) const {
  std::vector<float> values(stored.num_elements());
  std::vector<std::byte> bytes(stored.num_bytes());
  NVFP4_RETURN_IF_ERROR(checkpoint_.read(stored, 0, bytes));
  if (stored.dtype == DType::kF32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  if (stored.dtype != DType::kF16 && stored.dtype != DType::kBF16) {
    return error(stored.name, ErrorCode::kUnsupported,
                 fmt::format("has elements of type {}; scales must be F32, F16 or BF16", dtype_name(stored.dtype)));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t code = 0;
    std::memcpy(&code, bytes.data() + 2 * i, 2);
    values[i] = stored.dtype == DType::kF16 ? decode_fp16(code) : decode_bf16(code);
  }
  return values;
}

// scale2 of the shards that lie inside the slice.
Status CheckpointSource::copy_shard_scales(const Slice& slice, std::size_t out_expert, PreparedWeight& out) const {
  const DescribedTensor& tensor = *slice.tensor;
  std::vector<std::uint64_t> shard_rows;
  std::uint64_t row = 0;
  for (std::size_t s = 0; s < tensor.num_shards(); ++s) {
    const std::uint64_t rows = tensor.shard_rows.empty() ? tensor.out_features() : tensor.shard_rows[s];
    const std::uint64_t begin = std::max(row, slice.first_row);
    const std::uint64_t end = std::min(row + rows, slice.first_row + out.out_features);
    if (begin < end) {
      shard_rows.push_back(end - begin);
      out.scale2.push_back(tensor.scale2[slice.expert_idx * tensor.num_shards() + s]);
    }
    row += rows;
  }
  if (out_expert == 0) out.shard_rows = shard_rows;
  if (shard_rows == out.shard_rows) return {};
  return error(tensor.name, ErrorCode::kUnsupported, "its scales cover other rows than those of the first expert");
}

Status CheckpointSource::copy_scales(const Slice& slice, std::size_t out_expert, PreparedWeight& out) const {
  const DescribedTensor& tensor = *slice.tensor;
  if (tensor.per_row_scale) {
    auto scales = read_floats(*tensor.row_scales);
    NVFP4_RETURN_IF_ERROR(scales);
    const std::uint64_t first = slice.expert_idx * tensor.out_features() + slice.first_row;
    for (std::uint64_t row = 0; row < out.out_features; ++row) out.scale2.push_back((*scales)[first + row]);
  } else if (!tensor.scale2.empty()) {
    NVFP4_RETURN_IF_ERROR(copy_shard_scales(slice, out_expert, out));
  }
  const bool is_static = out.activation == Activation::kNvfp4Static || out.activation == Activation::kFp8Static;
  if (is_static && !tensor.input_scale.empty()) {
    auto scale = stored_input_scale(tensor, slice.expert_idx);
    NVFP4_RETURN_IF_ERROR(scale);
    out.input_scale.push_back(*scale);
    const bool divides = out.format == WeightFormat::kNvfp4 && tensor.convention == ScaleConvention::kDivisor;
    out.input_rule = divides ? QuantizerRule::kCompressedTensors : QuantizerRule::kModelOpt;
  }
  return {};
}

// In pieces that end with the pages of the memory: workers that touch a new page at once would all clear it.
void CheckpointSource::add_reads(Read whole, std::vector<Read>& reads) {
  while (!whole.out.empty()) {
    const std::size_t begin_in_page = reinterpret_cast<std::uintptr_t>(whole.out.data()) % kLargePageBytes;
    const std::size_t num_bytes = std::min(whole.out.size(), kLargePageBytes - begin_in_page);
    reads.push_back({whole.tensor, whole.offset, whole.out.first(num_bytes)});
    whole.offset += num_bytes;
    whole.out = whole.out.subspan(num_bytes);
  }
}

// Slice e becomes expert e of `out`.
Status CheckpointSource::copy(std::span<const Slice> experts, PreparedWeight& out) {
  const std::uint64_t row_bytes = out.in_features * kernels::bits_per_weight(out.format) / 8;
  const std::uint64_t row_scales = out.block_size == 0 ? 0 : out.in_features / out.block_size;
  const std::uint64_t num_bytes = out.out_features * row_bytes;
  const std::uint64_t num_scales = out.out_features * row_scales;
  std::vector<Read> reads;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    const DescribedTensor& tensor = *experts[e].tensor;
    const std::uint64_t first_row = experts[e].expert_idx * tensor.out_features() + experts[e].first_row;
    add_reads({tensor.data, first_row * row_bytes, {out.elements.data() + e * num_bytes, num_bytes}}, reads);
    if (num_scales != 0) {
      const std::span scales(out.block_scales.data() + e * num_scales, num_scales);
      add_reads({tensor.block_scales, first_row * row_scales, scales}, reads);
    }
    NVFP4_RETURN_IF_ERROR(copy_scales(experts[e], e, out));
  }
  return read(reads);
}

// Reports after each part.
Status CheckpointSource::read(std::span<const Read> reads) {
  constexpr std::uint64_t kPartBytes = 64 << 20;
  while (!reads.empty()) {
    std::uint64_t num_bytes = 0;
    std::size_t count = 0;
    while (count < reads.size() && num_bytes < kPartBytes) num_bytes += reads[count++].out.size();
    NVFP4_RETURN_IF_ERROR(read_together(reads.first(count)));
    report(num_bytes);
    reads = reads.subspan(count);
  }
  return {};
}

// Of several errors the first in the order of the reads, whoever comes to it first.
Status CheckpointSource::read_together(std::span<const Read> reads) const {
  Status failure;
  std::size_t failed_idx = reads.size();
  std::mutex mutex;
  const auto read_one = [&](std::size_t read_idx, std::size_t) {
    const Read& read = reads[read_idx];
    Status status = checkpoint_.read(*read.tensor, read.offset, read.out);
    if (status.ok()) return;
    const std::lock_guard lock(mutex);
    if (read_idx >= failed_idx) return;
    failed_idx = read_idx;
    failure = std::move(status);
  };
  if (pool_ != nullptr) {
    pool_->run(reads.size(), read_one);
  } else {
    for (std::size_t i = 0; i < reads.size() && failure.ok(); ++i) read_one(i, 0);
  }
  return failure;
}

Result<PreparedWeight> CheckpointSource::matrix(const std::string& module, MatrixShape shape, bool has_bias) {
  auto tensor = take(module + ".weight");
  NVFP4_RETURN_IF_ERROR(tensor);
  const std::array expected = {shape.out_features, shape.in_features};
  NVFP4_RETURN_IF_ERROR(check_shape(**tensor, expected));
  PreparedWeight out;
  out.name = module;
  NVFP4_RETURN_IF_ERROR(begin(**tensor, 1, shape, out));
  NVFP4_RETURN_IF_ERROR(copy(std::array{Slice{*tensor}}, out));
  if ((*tensor)->pre_quant_scale != nullptr) {
    auto scale = read_floats(*(*tensor)->pre_quant_scale);
    NVFP4_RETURN_IF_ERROR(scale);
    if (scale->size() != shape.in_features) {
      return error((*tensor)->pre_quant_scale->name, ErrorCode::kContradiction,
                   fmt::format("must hold one value for each of the {} input features", shape.in_features));
    }
    out.pre_quant_scale = std::move(scale).value();
  }
  if (has_bias) {
    auto bias = vector(module + ".bias", shape.out_features);
    NVFP4_RETURN_IF_ERROR(bias);
    out.bias = std::move(bias).value();
  }
  return out;
}

// "gate_up_proj" holds gate's rows, then up's; "down_proj" is itself.
Result<PreparedWeight> CheckpointSource::fused_experts(const DescribedTensor& tensor, const std::string& projection,
                                                       std::uint32_t num_experts, MatrixShape shape) {
  const bool halves = projection != "down_proj";
  const std::array<std::uint64_t, 3> expected = {num_experts, shape.out_features * (halves ? 2 : 1), shape.in_features};
  NVFP4_RETURN_IF_ERROR(check_shape(tensor, expected));
  NVFP4_RETURN_IF_ERROR(check_no_pre_quant_scale(tensor));
  taken_.insert(&tensor);
  PreparedWeight out;
  NVFP4_RETURN_IF_ERROR(begin(tensor, num_experts, shape, out));
  const std::uint64_t first_row = projection == "up_proj" ? shape.out_features : 0;
  std::vector<Slice> experts;
  for (std::uint32_t e = 0; e < num_experts; ++e) experts.push_back({&tensor, e, first_row});
  NVFP4_RETURN_IF_ERROR(copy(experts, out));
  return out;
}

Result<PreparedWeight> CheckpointSource::experts(const std::string& prefix, const std::string& projection,
                                                 std::uint32_t num_experts, MatrixShape shape) {
  const std::string fused = prefix + (projection == "down_proj" ? ".down_proj" : ".gate_up_proj");
  for (const std::string& name : {fused, fused + ".weight"}) {
    if (const auto found = by_name_.find(name); found != by_name_.end()) {
      auto out = fused_experts(*found->second, projection, num_experts, shape);
      if (out) out->name = prefix + "." + projection;
      return out;
    }
  }
  PreparedWeight out;
  out.name = prefix + "." + projection;
  const std::array expected = {shape.out_features, shape.in_features};
  // All of them before the memory for all of them: their number is only a claim of config.json.
  std::vector<Slice> experts;
  for (std::uint32_t e = 0; e < num_experts; ++e) {
    auto tensor = take(fmt::format("{}.{}.{}.weight", prefix, e, projection));
    NVFP4_RETURN_IF_ERROR(tensor);
    NVFP4_RETURN_IF_ERROR(check_shape(**tensor, expected));
    NVFP4_RETURN_IF_ERROR(check_no_pre_quant_scale(**tensor));
    experts.push_back({*tensor});
    const DescribedTensor& first = *experts[0].tensor;
    if (!same_kind(**tensor, first)) {
      return error((*tensor)->name, ErrorCode::kUnsupported,
                   fmt::format("is {} with {} activations and expert 0 is {} with {}, or their scales are of another "
                               "kind; the experts of a layer must be quantised alike",
                               scheme_name(**tensor), activation_name((*tensor)->activation), scheme_name(first),
                               activation_name(first.activation)));
    }
  }
  if (experts.empty()) return error(out.name, ErrorCode::kContradiction, "config.json asks for no experts at all");
  NVFP4_RETURN_IF_ERROR(begin(*experts[0].tensor, num_experts, shape, out));
  NVFP4_RETURN_IF_ERROR(copy(experts, out));
  if (!out.input_scale.empty() && out.input_scale.size() != num_experts) {
    return error(out.name, ErrorCode::kUnsupported,
                 "some experts have an input scale and others do not; calibrate again");
  }
  return out;
}

Result<std::vector<float>> CheckpointSource::vector(const std::string& name, std::uint64_t size) {
  auto tensor = take(name);
  NVFP4_RETURN_IF_ERROR(tensor);
  const std::array expected = {size};
  NVFP4_RETURN_IF_ERROR(check_shape(**tensor, expected));
  if (!format_of(**tensor)) return not_a_float(**tensor);
  std::vector<float> values(size);
  NVFP4_RETURN_IF_ERROR(checkpoint_.dequantize_rows(**tensor, 0, 1, values));
  report((*tensor)->data->num_bytes());
  return values;
}

Result<WeightSource::KvScales> CheckpointSource::kv_scales(const std::string& attention_module) const {
  KvScales scales;
  for (const KvScale& scale : checkpoint_.kv_scales()) {
    if (!scale.name.starts_with(attention_module + ".")) continue;
    const std::string_view rest = scale.name.substr(attention_module.size() + 1);
    if (rest == "k_proj.k_scale" || rest == "k_scale") scales.k = scale.scale;
    if (rest == "v_proj.v_scale" || rest == "v_scale") scales.v = scale.scale;
  }
  return scales;
}

Status CheckpointSource::finish() const {
  for (const DescribedTensor& weight : checkpoint_.weights()) {
    if (!taken_.contains(&weight)) {
      return error(weight.name, ErrorCode::kUnsupported,
                   fmt::format("belongs to no layer of {} as config.json describes it", checkpoint_.architecture()));
    }
  }
  return {};
}

void CheckpointSource::report(std::uint64_t num_bytes) {
  done_bytes_ += num_bytes;
  if (on_progress_) on_progress_(done_bytes_, total_bytes_);
}

}  // namespace nvfp4::prepare
