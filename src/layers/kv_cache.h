// Keys and values of all layers in blocks of a few tokens. Who owns which block is the engine's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/large_buffer.h"
#include "kernels/contract/row_kernels.h"
#include "nvfp4/result.h"

namespace nvfp4::layers {

// kF32: exact, for comparisons; kBF16: rounded to nearest even; kFp8: E4M3 of value / scale, saturating, where the
// scales come with the checkpoint or are 1.
using KvType = kernels::KvElement;
[[nodiscard]] std::string_view kv_type_name(KvType type);  // "f32", "bf16", "fp8"

struct KvShape {
  std::uint32_t num_layers = 0;
  std::uint32_t num_kv_heads = 0;
  std::uint32_t head_dim = 0;
  // FP32 multipliers [num_layers], used by kFp8; empty: 1.
  std::vector<float> k_scales;
  std::vector<float> v_scales;
};

class KvCache {
 public:
  static constexpr std::uint32_t kBlockTokens = kernels::kKvBlockTokens;

  // Keys and values of kBlockTokens tokens in all layers.
  [[nodiscard]] static std::size_t block_bytes(const KvShape& shape, KvType type);

  // An Error when there is not enough memory.
  [[nodiscard]] static Result<KvCache> create(KvShape shape, KvType type, std::uint32_t num_blocks);

  [[nodiscard]] std::uint32_t num_blocks() const { return num_blocks_; }
  [[nodiscard]] KvType type() const { return type_; }
  [[nodiscard]] const KvShape& shape() const { return shape_; }
  [[nodiscard]] std::size_t num_bytes() const { return memory_.size(); }

  // Stores one token's keys and values, [num_kv_heads, head_dim] each, in slot token_idx % kBlockTokens of a block.
  void write(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t slot_idx, const float* k, const float* v,
             const kernels::RowKernels& rows);

  // One head of a layer as kernels::AttentionTile describes it.
  struct Head {
    const std::byte* keys;
    const std::byte* values;
    std::size_t block_stride_bytes;
    float key_scale;
    float value_scale;
  };
  [[nodiscard]] Head head(std::uint32_t layer_idx, std::uint32_t head_idx) const;

  // Reads the keys (values) of one head for slots [0, num_slots) of a block: out [num_slots, head_dim].
  void read_keys(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t head_idx, std::uint32_t num_slots,
                 float* out) const;
  void read_values(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t head_idx, std::uint32_t num_slots,
                   float* out) const;

 private:
  KvCache() = default;
  enum class Half : std::uint8_t { kKeys, kValues };
  // Element offset of slot 0: memory is [layer, block, keys|values, head], then the head's own layout.
  [[nodiscard]] std::size_t offset(std::uint32_t layer_idx, std::uint32_t block_idx, Half half,
                                   std::uint32_t head_idx) const;
  // Element of a key behind offset().
  [[nodiscard]] std::size_t key_element(std::uint32_t slot_idx, std::size_t dimension) const;
  [[nodiscard]] float read(std::size_t element, float scale) const;
  void write_key(std::size_t begin, std::uint32_t slot_idx, const float* k, float scale,
                 const kernels::RowKernels& rows);

  KvShape shape_;
  KvType type_ = KvType::kBF16;
  std::uint32_t num_blocks_ = 0;
  LargeBuffer memory_;
};

}  // namespace nvfp4::layers
