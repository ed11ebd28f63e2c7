// What a checkpoint's tensors are: as stored in the file (StoredTensor), and as one exact description of each weight,
// whoever wrote it (DescribedTensor).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace nvfp4 {

// Element types of the safetensors format; the names that files use are in dtype_name().
enum class DType : std::uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

[[nodiscard]] std::string_view dtype_name(DType dtype);                     // "BF16", "F8_E4M3", ...: as in the file
[[nodiscard]] std::optional<DType> dtype_from_name(std::string_view name);  // the inverse; case counts
[[nodiscard]] std::uint32_t bits_per_element(DType dtype);                  // 4 for F4, 6 for F6, else a multiple of 8

// One tensor of one file, as the file's header gives it. Names and shapes live as long as the checkpoint.
struct StoredTensor {
  std::string_view name;
  std::span<const std::uint64_t> shape;  // outermost first, row-major; empty for a scalar
  std::uint64_t begin = 0;               // byte range [begin, end) of the file
  std::uint64_t end = 0;
  std::uint32_t file_idx = 0;  // into Checkpoint::files()
  DType dtype = DType::kU8;

  [[nodiscard]] std::uint64_t num_bytes() const { return end - begin; }
  [[nodiscard]] std::uint64_t num_elements() const {
    std::uint64_t n = 1;
    for (std::uint64_t d : shape) n *= d;
    return n;
  }
};

// The bytes of a tensor: a view of the mapped file, or an owned copy. The owner keeps either alive.
struct TensorBytes {
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;
};

enum class Scheme : std::uint8_t {
  kNvfp4W4A4,   // E2M1 codes, E4M3 scale per block, FP32 scale per shard; activations are NVFP4 too
  kNvfp4W4A16,  // the same weights; activations stay 16-bit
  kFp8,         // E4M3 with one FP32 scale per tensor or per row
  kPlain,       // not quantised; DescribedTensor::dtype says what
};

// What the checkpoint asks to be done with the input of a linear layer.
enum class Activation : std::uint8_t {
  k16Bit,         // nothing
  kNvfp4Static,   // NVFP4: block scales at run time under the static input_scale
  kNvfp4Dynamic,  // NVFP4: the global scale too at run time, per token
  kFp8Static,     // E4M3 under the static input_scale
  kFp8Dynamic,    // E4M3, one scale per token at run time
};

// How the producer writes an FP32 scale. We always hand out multipliers: w = code * block_scale * scale2.
enum class ScaleConvention : std::uint8_t {
  kMultiplier,  // ModelOpt: weight_scale_2, input_scale, weight_scale of FP8
  kDivisor,     // compressed-tensors: weight_global_scale, input_global_scale
};

// One weight (or other parameter) of the model in its normal form. Matrices are [out_features, in_features], row-major:
// y = x * w^T. Stacked experts put num_experts such matrices behind each other. Views live as long as the checkpoint.
struct DescribedTensor {
  std::string_view name;  // as in the unquantised model: "model.layers.0.self_attn.q_proj.weight"
  Scheme scheme = Scheme::kPlain;
  DType dtype = DType::kBF16;            // of the elements; kF4 for NVFP4
  std::span<const std::uint64_t> shape;  // logical: [N, K], [E, N, K], or the stored shape of a plain tensor
  std::uint32_t block_size = 0;          // weights per E4M3 scale along K: 16 or 32; 0 when not NVFP4
  bool transposed = false;               // stored [.., K, N] with codes packed along K; shape is still [.., N, K]

  // Logical shards: row ranges of one expert that carry their own scale2 (q, k, v of a fused qkv; gate and up).
  std::span<const std::uint64_t> shard_rows;  // [num_shards], adds up to N; empty for a plain tensor
  std::span<const float> scale2;              // [num_experts * num_shards] FP32 multipliers, after repairs
  bool per_row_scale = false;                 // FP8: row_scales holds one multiplier per row, scale2 is empty

  Activation activation = Activation::k16Bit;
  std::string_view activation_evidence;  // which tensor or config field says so
  std::span<const float> input_scale;    // [0], [1] or [num_experts] FP32 multipliers, after repairs; empty = none

  // Provenance: where the bytes are, under which convention. Null: the checkpoint has no such tensor.
  const StoredTensor* data = nullptr;          // codes, E4M3 bytes or plain elements
  const StoredTensor* block_scales = nullptr;  // [N, K / block_size] E4M3, row-major
  const StoredTensor* row_scales = nullptr;    // [N] or [N, 1], FP8 per channel
  const StoredTensor* scale2_tensor = nullptr;
  const StoredTensor* input_scale_tensor = nullptr;
  const StoredTensor* pre_quant_scale = nullptr;  // [K]: multiply the activation by it before quantising (AWQ)
  ScaleConvention convention = ScaleConvention::kMultiplier;
  std::span<const float> stored_scale2;  // scale2 exactly as stored, before inversion and repair

  [[nodiscard]] bool is_quantized() const { return scheme != Scheme::kPlain; }
  [[nodiscard]] std::uint64_t num_elements() const {
    std::uint64_t n = 1;
    for (std::uint64_t d : shape) n *= d;
    return n;
  }
  [[nodiscard]] std::uint64_t in_features() const { return shape.empty() ? 1 : shape.back(); }
  [[nodiscard]] std::uint64_t out_features() const { return shape.size() < 2 ? 1 : shape[shape.size() - 2]; }
  [[nodiscard]] std::uint64_t num_experts() const { return shape.size() < 3 ? 1 : shape[shape.size() - 3]; }
  [[nodiscard]] std::uint64_t num_shards() const { return shard_rows.empty() ? 1 : shard_rows.size(); }
};

// "nvfp4_w4a4", "nvfp4_w4a16", "fp8", or for plain tensors the element type: "bf16", "fp16", "fp32", "i64", ...
[[nodiscard]] std::string_view scheme_name(const DescribedTensor& tensor);
[[nodiscard]] std::string_view activation_name(Activation activation);

}  // namespace nvfp4
