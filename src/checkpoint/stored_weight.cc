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
                        std::uint64_t per_byte, DescribedTensor& out) {
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
    out.shape.assign(codes.begin(), codes.end());
    out.shape[rank - 2] = normal ? a : b;
    out.shape[rank - 1] = (normal ? b : a) * per_byte;
    return true;
  }
  return false;
}

Status describe_nvfp4(const TensorFiles& files, const StoredWeight& stored, DescribedTensor& out) {
  const StoredTensor& codes = *stored.data;
  const StoredTensor& scales = *stored.weight_scale;
  if (scales.dtype != DType::kF8E4M3) {
    return Error{ErrorCode::kUnsupported, where(files, scales),
                 fmt::format("block scales of type {}; NVFP4 has F8_E4M3 (MXFP4 and integer schemes are not read)",
                             dtype_name(scales.dtype))};
  }
  const std::uint64_t per_byte = codes.dtype == DType::kU8 ? 2 : 1;
  if (!match_block_shapes(codes.shape, scales.shape, per_byte, out)) {
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

StoredWeight find_companions(const TensorFiles& files, const StoredTensor& data, const TensorRole& role) {
  StoredWeight stored{.data = &data, .role = role};
  std::string name = companion_name(role, "");
  const std::size_t stem = name.size();
  const auto find = [&](std::string_view suffix) {
    name.resize(stem);
    return files.find(name.append(suffix));
  };
  stored.weight_scale = find("weight_scale");
  stored.weight_scale_2 = find("weight_scale_2");
  stored.weight_global_scale = find("weight_global_scale");
  stored.input_scale = find("input_scale");
  stored.input_global_scale = find("input_global_scale");
  stored.pre_quant_scale = find("pre_quant_scale");
  return stored;
}

Status describe_storage(const TensorFiles& files, const StoredWeight& stored, DescribedTensor& out) {
  const StoredTensor& data = *stored.data;
  out.name = parameter_name(data.name);
  out.data = &data;
  out.dtype = data.dtype;
  out.shape.assign(data.shape.begin(), data.shape.end());
  out.pre_quant_scale = stored.pre_quant_scale;
  switch (data.dtype) {
    case DType::kU8:
    case DType::kF4:
      if (stored.weight_scale != nullptr) return describe_nvfp4(files, stored, out);
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

Result<std::vector<std::uint64_t>> shard_rows(const TensorFiles& files, const DescribedTensor& weight,
                                              std::uint64_t num_scales, const ModelConfig& model) {
  const std::uint64_t n = weight.out_features();
  const std::string_view name = weight.name;
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (num_scales == 1) return std::vector{n};
  if (num_scales == 2 && n % 2 == 0 && (has("gate_up") || has("w13") || has("w31") || has("linear_fc1")))
    return std::vector{n / 2, n / 2};
  if (num_scales == 3 && (has("qkv") || has("Wqkv") || has("query_key_value"))) {
    const std::uint64_t q = model.num_heads * model.head_dim;
    const std::uint64_t kv = model.num_kv_heads * model.head_dim;
    if (q != 0 && q + 2 * kv == n) return std::vector{q, kv, kv};
  }
  return Error{ErrorCode::kUnsupported, where(files, *weight.scale2_tensor),
               fmt::format("{} second-level scales for {} rows, and the name does not tell which rows each one covers",
                           num_scales, n)};
}

}  // namespace nvfp4::checkpoint
