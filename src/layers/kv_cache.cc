#include "layers/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "formats/bf16.h"
#include "formats/e4m3.h"

namespace nvfp4::layers {
namespace {

std::size_t element_bytes(KvType type) { return type == KvType::kF32 ? 4 : type == KvType::kBF16 ? 2 : 1; }

float scale_of(const std::vector<float>& scales, std::uint32_t layer_idx) {
  return scales.empty() ? 1.0F : scales[layer_idx];
}

// Keys lie in pairs of dimensions.
std::size_t padded_dim(const KvShape& shape) { return (std::size_t{shape.head_dim} + 1) / 2 * 2; }

std::size_t block_elements(const KvShape& shape) {
  return std::size_t{2} * shape.num_kv_heads * KvCache::kBlockTokens * padded_dim(shape);
}

}  // namespace

std::string_view kv_type_name(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kBF16 ? "bf16" : "fp8";
}

std::size_t KvCache::block_bytes(const KvShape& shape, KvType type) {
  return shape.num_layers * block_elements(shape) * element_bytes(type);
}

Result<KvCache> KvCache::create(KvShape shape, KvType type, std::uint32_t num_blocks) {
  KvCache cache;
  const std::size_t num_bytes = block_bytes(shape, type) * num_blocks;
  cache.memory_ = LargeBuffer(num_bytes);
  if (!cache.memory_.valid()) {
    return Error{ErrorCode::kIo, "key-value cache",
                 "no memory for " + std::to_string(num_bytes) + " bytes; ask for a smaller cache"};
  }
  cache.shape_ = std::move(shape);
  cache.type_ = type;
  cache.num_blocks_ = num_blocks;
  return cache;
}

std::size_t KvCache::offset(std::uint32_t layer_idx, std::uint32_t block_idx, Half half, std::uint32_t head_idx) const {
  const std::size_t block = (std::size_t{layer_idx} * num_blocks_ + block_idx) * 2 + (half == Half::kKeys ? 0 : 1);
  return (block * shape_.num_kv_heads + head_idx) * kBlockTokens * padded_dim(shape_);
}

std::size_t KvCache::key_element(std::uint32_t slot_idx, std::size_t dimension) const {
  if (type_ == KvType::kF32) return dimension * kBlockTokens + slot_idx;
  return (dimension / 2 * kBlockTokens + slot_idx) * 2 + dimension % 2;
}

KvCache::Head KvCache::head(std::uint32_t layer_idx, std::uint32_t head_idx) const {
  const std::size_t bytes = element_bytes(type_);
  return {memory_.data() + offset(layer_idx, 0, Half::kKeys, head_idx) * bytes,
          memory_.data() + offset(layer_idx, 0, Half::kValues, head_idx) * bytes, block_elements(shape_) * bytes,
          scale_of(shape_.k_scales, layer_idx), scale_of(shape_.v_scales, layer_idx)};
}

// Encodes a few dimensions after the other, and puts each where it belongs.
void KvCache::write_key(std::size_t begin, std::uint32_t slot_idx, const float* k, float scale,
                        const kernels::RowKernels& rows) {
  constexpr std::size_t kAtOnce = 64;
  const std::size_t bytes = element_bytes(type_);
  alignas(4) std::byte codes[kAtOnce * sizeof(float)];
  for (std::size_t d = 0; d < shape_.head_dim; d += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, shape_.head_dim - d);
    rows.encode(type_, k + d, scale, codes, count);
    std::byte* const out = memory_.data() + begin * bytes;
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(out + key_element(slot_idx, d + i) * bytes, codes + i * bytes, bytes);
    }
  }
}

void KvCache::write(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t slot_idx, const float* k,
                    const float* v, const kernels::RowKernels& rows) {
  const std::size_t head_dim = shape_.head_dim;
  const std::uint32_t slot = slot_idx % kBlockTokens;
  for (std::uint32_t h = 0; h < shape_.num_kv_heads; ++h) {
    write_key(offset(layer_idx, block_idx, Half::kKeys, h), slot, k + h * head_dim,
              scale_of(shape_.k_scales, layer_idx), rows);
    const std::size_t begin = offset(layer_idx, block_idx, Half::kValues, h) + slot * head_dim;
    rows.encode(type_, v + h * head_dim, scale_of(shape_.v_scales, layer_idx),
                memory_.data() + begin * element_bytes(type_), head_dim);
  }
}

float KvCache::read(std::size_t element, float scale) const {
  const std::byte* const in = memory_.data() + element * element_bytes(type_);
  if (type_ == KvType::kFp8) return decode_e4m3(std::to_integer<std::uint8_t>(*in)) * scale;
  if (type_ == KvType::kBF16) {
    std::uint16_t code;
    std::memcpy(&code, in, sizeof(code));
    return decode_bf16(code);
  }
  float value;
  std::memcpy(&value, in, sizeof(value));
  return value;
}

void KvCache::read_keys(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t head_idx,
                        std::uint32_t num_slots, float* out) const {
  const std::size_t begin = offset(layer_idx, block_idx, Half::kKeys, head_idx);
  for (std::uint32_t slot = 0; slot < num_slots; ++slot) {
    for (std::size_t d = 0; d < shape_.head_dim; ++d) {
      out[slot * shape_.head_dim + d] = read(begin + key_element(slot, d), scale_of(shape_.k_scales, layer_idx));
    }
  }
}

void KvCache::read_values(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t head_idx,
                          std::uint32_t num_slots, float* out) const {
  const std::size_t begin = offset(layer_idx, block_idx, Half::kValues, head_idx);
  for (std::size_t i = 0; i < std::size_t{num_slots} * shape_.head_dim; ++i) {
    out[i] = read(begin + i, scale_of(shape_.v_scales, layer_idx));
  }
}

}  // namespace nvfp4::layers
