#include "checkpoint/stored_weight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "checkpoint/scale_values.h"

namespace nvfp4::checkpoint {
namespace {

std::string shape_text(std::span<const std::uint64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Error missing_companion(const TensorFiles& files, const StoredWeight& stored, std::string_view suffix) {
  return {
      ErrorCode::kNotFound, where(files, *stored.data),
      fmt::format("{} data without its scale \"{}\"; the file is incomplete or of a scheme this library does not read",
                  dtype_name(stored.data->dtype), companion_name(stored.role, suffix))};
}

// Whether codes of shape `codes` go with scales of shape `scales`; fills the logical shape. `per_byte` is 2 for packed
// bytes, 1 when the shape already counts elements.
bool match_block_shapes(std::span<const std::uint64_t> codes, std::span<const std::uint64_t> scales,
                        std::uint64_t per_byte, Arena& arena, DescribedTensor& out) {
  const std::size_t rank = codes.size();
  if (rank != scales.size() || rank < 2 || rank > 3) return false;
  if (rank == 3 && codes[0] != scales[0]) return false;
  const std::uint64_t a = codes[rank - 2];
  const std::uint64_t b = codes[rank - 1];
  const std::uint64_t c = scales[rank - 2];
  const std::uint64_t d = scales[rank - 1];
  for (std::uint32_t block : {16U, 32U}) {
    const bool normal = a == c && d != 0 && b % (block / per_byte) == 0 && b / (block / per_byte) == d;
    const bool transposed = b == d && c != 0 && a % (block / per_byte) == 0 && a / (block / per_byte) == c;
    if (!normal && !transposed) continue;
    out.transposed = !normal;
    out.block_size = block;
    const std::span<std::uint64_t> shape = arena.allocate<std::uint64_t>(rank);
    shape[0] = codes[0];
    shape[rank - 2] = normal ? a : b;
    shape[rank - 1] = (normal ? b : a) * per_byte;
    out.shape = shape;
    return true;
  }
  return false;
}

Status describe_nvfp4(const TensorFiles& files, const StoredWeight& stored, Arena& arena, DescribedTensor& out) {
  const StoredTensor& codes = *stored.data;
  const StoredTensor& scales = *stored.weight_scale;
  if (scales.dtype != DType::kF8E4M3) {
    return Error{ErrorCode::kUnsupported, where(files, scales),
                 fmt::format("block scales of type {}; NVFP4 has F8_E4M3 (MXFP4 and integer schemes are not read)",
                             dtype_name(scales.dtype))};
  }
  const std::uint64_t per_byte = codes.dtype == DType::kU8 ? 2 : 1;
  if (!match_block_shapes(codes.shape, scales.shape, per_byte, arena, out)) {
    return Error{
        ErrorCode::kMalformed, where(files, scales),
        fmt::format("shape {} does not fit codes of shape {}; expected one scale per 16 (or 32) weights along K",
                    shape_text(scales.shape), shape_text(codes.shape))};
  }
  out.scheme = Scheme::kNvfp4W4A16;
  out.dtype = DType::kF4;
  out.block_scales = &scales;
  if (stored.weight_scale_2 != nullptr && stored.weight_global_scale != nullptr) {
    return Error{ErrorCode::kContradiction, where(files, *stored.weight_scale_2),
                 fmt::format("\"{}\" is there too: a multiplier and a divisor for one weight; remove one",
                             stored.weight_global_scale->name)};
  }
  out.scale2_tensor = stored.weight_scale_2 != nullptr ? stored.weight_scale_2 : stored.weight_global_scale;
  if (out.scale2_tensor == nullptr) return missing_companion(files, stored, "weight_scale_2");
  out.convention = stored.weight_scale_2 != nullptr ? ScaleConvention::kMultiplier : ScaleConvention::kDivisor;
  if (stored.input_scale != nullptr && stored.input_global_scale != nullptr) {
    return Error{ErrorCode::kContradiction, where(files, *stored.input_scale),
                 fmt::format("\"{}\" is there too: a multiplier and a divisor for one input; remove one",
                             stored.input_global_scale->name)};
  }
  out.input_scale_tensor = stored.input_scale != nullptr ? stored.input_scale : stored.input_global_scale;
  return {};
}

Status describe_fp8(const TensorFiles& files, const StoredWeight& stored, DescribedTensor& out) {
  const StoredTensor& scale = *stored.weight_scale;
  out.scheme = Scheme::kFp8;
  out.convention = ScaleConvention::kMultiplier;
  out.input_scale_tensor = stored.input_scale;
  if (scale.dtype != DType::kF32 && scale.dtype != DType::kBF16 && scale.dtype != DType::kF16) {
    return Error{ErrorCode::kUnsupported, where(files, scale),
                 fmt::format("FP8 scales of type {}; F32, BF16 and F16 are read", dtype_name(scale.dtype))};
  }
  const std::uint64_t rows = out.num_experts() * out.out_features();
  const std::uint64_t count = scale.num_elements();
  const bool scalar_per_matrix = count == 1 || (out.shape.size() == 3 && count == out.num_experts());
  const bool one_per_row =
      count == rows && (scale.shape.size() < 2 || scale.shape.back() == 1 || scale.shape.back() == out.out_features());
  if (scalar_per_matrix) {
    out.scale2_tensor = &scale;
  } else if (one_per_row) {
    out.row_scales = &scale;
    out.per_row_scale = true;
  } else {
    return Error{
        ErrorCode::kUnsupported, where(files, scale),
        fmt::format(
            "shape {} for FP8 weights of shape {}; one scale per tensor or per row is read, block scales are not",
            shape_text(scale.shape), shape_text(stored.data->shape))};
  }
  return {};
}

}  // namespace

const StoredTensor* CompanionFinder::find_one(Role companion, std::string_view suffix) {
  if (!occurs_[static_cast<std::size_t>(companion)]) return nullptr;
  name_.resize(stem_chars_);
  name_.append(suffix);
  Guess& guess = guesses_[static_cast<std::size_t>(companion)];
  const std::span<const StoredTensor> tensors = files_.tensors();
  const std::ptrdiff_t at = guess.last + guess.step;
  const bool guessed = at >= 0 && at < static_cast<std::ptrdiff_t>(tensors.size()) &&
                       tensors[static_cast<std::size_t>(at)].name == name_;
  const StoredTensor* found = guessed ? &tensors[static_cast<std::size_t>(at)] : files_.find(name_);
  if (found != nullptr) {
    const std::ptrdiff_t place = found - tensors.data();
    guess = {place, place - guess.last};
  }
  return found;
}

StoredWeight CompanionFinder::find(const StoredTensor& data, const TensorRole& role) {
  name_.assign(role.prefix);
  if (!role.stem.empty()) name_.append(role.stem).append(1, '_');
  stem_chars_ = name_.size();
  StoredWeight stored{.data = &data, .role = role};
  stored.weight_scale = find_one(Role::kWeightScale, "weight_scale");
  stored.weight_scale_2 = find_one(Role::kWeightScale2, "weight_scale_2");
  stored.weight_global_scale = find_one(Role::kWeightGlobalScale, "weight_global_scale");
  stored.input_scale = find_one(Role::kInputScale, "input_scale");
  stored.input_global_scale = find_one(Role::kInputGlobalScale, "input_global_scale");
  stored.pre_quant_scale = find_one(Role::kPreQuantScale, "pre_quant_scale");
  return stored;
}

Status describe_storage(const TensorFiles& files, const StoredWeight& stored, Arena& arena, DescribedTensor& out) {
  const StoredTensor& data = *stored.data;
  out.name = data.name.ends_with("weight_packed") ? arena.copy(std::string_view(parameter_name(data.name))) : data.name;
  out.data = &data;
  out.dtype = data.dtype;
  out.shape = data.shape;
  out.pre_quant_scale = stored.pre_quant_scale;
  switch (data.dtype) {
    case DType::kU8:
    case DType::kF4:
      if (stored.weight_scale != nullptr) return describe_nvfp4(files, stored, arena, out);
      if (data.name.ends_with("weight") || data.name.ends_with("weight_packed"))
        return missing_companion(files, stored, "weight_scale");
      if (data.name.ends_with("_blocks")) {
        return Error{ErrorCode::kUnsupported, where(files, data),
                     "MXFP4 blocks; this library reads NVFP4, FP8 and plain weights"};
      }
      return {};
    case DType::kF8E4M3:
      if (stored.weight_scale != nullptr) return describe_fp8(files, stored, out);
      if (files.find(companion_name(stored.role, "weight_scale_inv")) != nullptr) {
        return Error{ErrorCode::kUnsupported, where(files, data),
                     "FP8 with a scale per block (weight_scale_inv); one per tensor or per row is read"};
      }
      return missing_companion(files, stored, "weight_scale");
    case DType::kI32:
    case DType::kI8:
      if (stored.weight_scale != nullptr) {
        return Error{ErrorCode::kUnsupported, where(files, data),
                     fmt::format("quantised {} weights; this library reads NVFP4, FP8 and plain weights",
                                 dtype_name(data.dtype))};
      }
      return {};
    default:
      return {};
  }
}

Result<std::span<const std::uint64_t>> shard_rows(const TensorFiles& files, const DescribedTensor& weight,
                                                  std::uint64_t num_scales, const ModelConfig& model, Arena& arena) {
  const std::uint64_t n = weight.out_features();
  const auto has = [&](std::string_view part) { return weight.name.find(part) != std::string_view::npos; };
  std::array<std::uint64_t, 3> rows{};
  if (num_scales == 1 && weight.shape.size() >= 2) return weight.shape.subspan(weight.shape.size() - 2, 1);
  if (num_scales == 1) {
    rows[0] = n;
  } else if (num_scales == 2 && n % 2 == 0 && (has("gate_up") || has("w13") || has("w31") || has("linear_fc1"))) {
    rows = {n / 2, n / 2};
  } else if (num_scales == 3 && (has("qkv") || has("Wqkv") || has("query_key_value"))) {
    const std::uint64_t kv = model.num_kv_heads * model.head_dim;
    rows = {model.num_heads * model.head_dim, kv, kv};
    if (rows[0] == 0 || rows[0] + 2 * kv != n) rows = {};
  }
  if (rows[0] != 0) return arena.copy(std::span<const std::uint64_t>(rows).first(num_scales));
  return Error{ErrorCode::kUnsupported, where(files, *weight.scale2_tensor),
               fmt::format("{} second-level scales for {} rows, and the name does not tell which rows each one covers",
                           num_scales, n)};
}

}  // namespace nvfp4::checkpoint
