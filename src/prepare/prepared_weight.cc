#include "prepare/prepared_weight.h"

#include <array>
#include <atomic>
#include <optional>

#include "base/checked_math.h"
#include "layouts/tile_16x64.h"

namespace nvfp4::prepare {

kernels::LinearWeight PreparedWeight::view() const {
  kernels::LinearWeight view;
  view.format = format;
  view.num_experts = num_experts;
  view.out_features = out_features;
  view.in_features = in_features;
  view.block_size = block_size;
  view.layout = layout;
  view.elements = elements.data();
  view.block_scales = reinterpret_cast<const std::uint8_t*>(block_scales.data());
  view.shard_rows = shard_rows;
  view.scale2 = scale2;
  view.per_row_scale = per_row_scale;
  view.input_scale = input_scale;
  view.input_rule = input_rule;
  view.pre_quant_scale = pre_quant_scale;
  view.bias = bias;
  return view;
}

kernels::LinearProblem PreparedWeight::problem() const {
  return {format, activation, out_features, in_features, num_experts, block_size, odd_scales};
}

bool PreparedWeight::allocate() {
  const std::uint64_t bits = kernels::bits_per_weight(format);
  const std::optional<std::uint64_t> num_bits =
      checked_product(std::array{std::uint64_t{num_experts}, out_features, in_features, bits});
  if (!num_bits) return false;
  const bool has_tiles = format == kernels::WeightFormat::kNvfp4;
  elements = WeightBuffer(*num_bits / 8, has_tiles ? num_experts * Tile16x64::num_bytes(out_features, in_features) : 0);
  if (block_size != 0) block_scales = LargeBuffer(*num_bits / bits / block_size);
  return elements.valid() && (block_size == 0 || block_scales.valid());
}

// E4M3 codes in the order of their bytes: numbers from 0 on, NaN, then everything with a sign.
void PreparedWeight::look_at_scales(WorkerPool& pool) {
  constexpr std::uint8_t kLargest = 0x7E;
  constexpr std::size_t kGrain = 256 << 10;
  const auto* const scales = reinterpret_cast<const std::uint8_t*>(block_scales.data());
  std::atomic<bool> odd = false;
  pool.run_ranges(block_scales.size(), kGrain, [&](std::size_t begin, std::size_t end, std::size_t) {
    std::uint8_t largest = 0;
    for (std::size_t i = begin; i < end; ++i) largest = largest < scales[i] ? scales[i] : largest;
    if (largest > kLargest) odd.store(true, std::memory_order_relaxed);
  });
  odd_scales = odd.load(std::memory_order_relaxed);
}

std::uint64_t PreparedWeight::num_bytes() const {
  const std::size_t num_floats = scale2.size() + input_scale.size() + pre_quant_scale.size() + bias.size();
  return elements.size() + block_scales.size() + num_floats * sizeof(float);
}

}  // namespace nvfp4::prepare
