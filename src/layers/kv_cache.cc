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

std::size_t block_elements(const KvShape& shape) {
  return std::size_t{2} * shape.num_kv_heads * KvCache::kBlockTokens * shape.head_dim;
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
  return (block * shape_.num_kv_heads + head_idx) * kBlockTokens * shape_.head_dim;
}

void KvCache::store(std::size_t element_offset, std::size_t count, float scale, const float* values) {
  std::byte* const out = memory_.data() + element_offset * element_bytes(type_);
  switch (type_) {
    case KvType::kF32:
      std::memcpy(out, values, count * sizeof(float));
      return;
    case KvType::kBF16:
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t code = encode_bf16(values[i]);
        std::memcpy(out + 2 * i, &code, 2);
      }
      return;
    case KvType::kFp8:
      for (std::size_t i = 0; i < count; ++i) out[i] = std::byte{encode_e4m3_saturating(values[i] / scale)};
      return;
  }
}

void KvCache::read(std::size_t element_offset, std::size_t count, float scale, float* out) const {
  const std::byte* const in = memory_.data() + element_offset * element_bytes(type_);
  switch (type_) {
    case KvType::kF32:
      std::memcpy(out, in, count * sizeof(float));
      return;
    case KvType::kBF16:
      for (std::size_t i = 0; i < count; ++i) {
        std::uint16_t code;
        std::memcpy(&code, in + 2 * i, 2);
        out[i] = decode_bf16(code);
      }
      return;
    case KvType::kFp8:
      for (std::size_t i = 0; i < count; ++i) out[i] = decode_e4m3(std::to_integer<std::uint8_t>(in[i])) * scale;
      return;
  }
}

void KvCache::write(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t slot_idx, const float* k,
                    const float* v) {
  const std::size_t head_dim = shape_.head_dim;
  const std::size_t slot = slot_idx % kBlockTokens * head_dim;
  for (std::uint32_t h = 0; h < shape_.num_kv_heads; ++h) {
    store(offset(layer_idx, block_idx, Half::kKeys, h) + slot, head_dim, scale_of(shape_.k_scales, layer_idx),
          k + h * head_dim);
    store(offset(layer_idx, block_idx, Half::kValues, h) + slot, head_dim, scale_of(shape_.v_scales, layer_idx),
          v + h * head_dim);
  }
}

void KvCache::read_keys(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t head_idx,
                        std::uint32_t num_slots, float* out) const {
  read(offset(layer_idx, block_idx, Half::kKeys, head_idx), std::size_t{num_slots} * shape_.head_dim,
       scale_of(shape_.k_scales, layer_idx), out);
}

void KvCache::read_values(std::uint32_t layer_idx, std::uint32_t block_idx, std::uint32_t head_idx,
                          std::uint32_t num_slots, float* out) const {
  read(offset(layer_idx, block_idx, Half::kValues, head_idx), std::size_t{num_slots} * shape_.head_dim,
       scale_of(shape_.v_scales, layer_idx), out);
}

}  // namespace nvfp4::layers
