#include "kernels/cuda_sm80/linear_rows_choice.h"

#include <algorithm>
#include <array>
#include <span>

namespace nvfp4::kernels::cuda_sm80 {
namespace {

constexpr std::uint32_t divided_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

std::array<TileKind, kManyShapes.size()> kinds_of(std::uint32_t weight_bytes) {
  std::array<TileKind, kManyShapes.size()> kinds{};
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const ManyShape& shape = kManyShapes[i];
    kinds[i] = {shape.rows,
                shape.tokens,
                shape.threads(),
                shape.registers,
                shape.stage_bytes(weight_bytes),
                shape.shared_bytes(weight_bytes),
                weight_bytes == 1 ? shape.fp8 : shape.bf16};
  }
  return kinds;
}

TileLayer tile_layer(const RowsLayer& layer) {
  return {layer.out_features,
          layer.in_features,
          static_cast<double>(layer.weight_bytes),
          layer.num_sms,
          layer.shared_bytes_per_block,
          layer.shared_bytes_per_sm,
          layer.batch_invariant};
}

// Blocks of as many rows as leave work for this share of the multiprocessors.
template <std::size_t kCount>
RowsChoice choose_few(const std::array<FewShape, kCount>& shapes, const RowsLayer& layer, std::uint32_t num_tokens) {
  RowsChoice choice;
  choice.is_few = true;
  for (const FewShape& shape : shapes) {
    if (shape.tokens() < num_tokens || shape.tokens() >= num_tokens + 8) continue;
    choice.few = shape;
    const double least_share = shape.groups == 4 ? 0.55 : 0.4;
    const bool fits = shape.shared_bytes(layer.weight_bytes) <= layer.shared_bytes_per_block;
    if (fits && divided_up(layer.out_features, shape.rows()) >= least_share * layer.num_sms) break;
  }
  return choice;
}

}  // namespace

std::uint32_t least_rows_bytes(const RowsLayer& layer) {
  const std::uint32_t columns = max_few_tokens(layer.weight_bytes) / 8;
  const std::uint32_t few = FewShape{1, columns}.shared_bytes(layer.weight_bytes);
  const std::uint32_t many = kManyShapes[0].shared_bytes(layer.weight_bytes);
  return std::max(few, many);
}

RowsChoice choose_rows(const RowsLayer& layer, std::uint32_t num_tokens) {
  const bool is_few = num_tokens <= max_few_tokens(layer.weight_bytes) && !layer.batch_invariant;
  if (!is_few) {
    const auto kinds = kinds_of(layer.weight_bytes);
    RowsChoice choice;
    choice.tiles =
        choose_tiles(tile_layer(layer), std::span(kinds).first(num_many_shapes(layer.weight_bytes)), num_tokens);
    return choice;
  }
  return layer.weight_bytes == 1 ? choose_few(kFewShapesFp8, layer, num_tokens)
                                 : choose_few(kFewShapesBf16, layer, num_tokens);
}

std::uint32_t many_shared_bytes(const RowsLayer& layer, const TileChoice& tiles) {
  return even_shared_bytes(tile_layer(layer), kinds_of(layer.weight_bytes)[tiles.kind_idx], tiles);
}

std::string many_refusal(const RowsLayer& layer, std::uint32_t max_tokens) {
  return tiles_refusal(tile_layer(layer), max_tokens);
}

TileNeeds rows_needs(const RowsLayer& layer, std::uint32_t max_tokens) {
  if (max_tokens <= max_few_tokens(layer.weight_bytes)) return {};
  const auto kinds = kinds_of(layer.weight_bytes);
  return tile_needs(tile_layer(layer), std::span(kinds).first(num_many_shapes(layer.weight_bytes)), max_tokens);
}

}  // namespace nvfp4::kernels::cuda_sm80
