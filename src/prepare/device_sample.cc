#include "prepare/device_sample.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "layouts/block_scaled_16x64.h"
#include "layouts/fragment_16x64.h"

namespace nvfp4::prepare {
namespace {

using kernels::DeviceWeightLayout;
using kernels::WeightFormat;
using Rows = FragmentRows<std::uint8_t>;

constexpr std::uint64_t kGroupRows = Fragment16x64::kRows;

Error no_memory(const std::string& name) {
  return Error{ErrorCode::kIo, name, "there is not enough memory for a sample of its weights"};
}

std::uint8_t* bytes_of(WeightBuffer& buffer) { return reinterpret_cast<std::uint8_t*>(buffer.data()); }
std::uint8_t* bytes_of(LargeBuffer& buffer) { return reinterpret_cast<std::uint8_t*>(buffer.data()); }

void unpack(DeviceWeightLayout layout, const std::uint8_t* tiles, const FragmentShape& shape, const Rows& rows) {
  if (layout == DeviceWeightLayout::kBlockScaled16x64) return unpack_block_scaled(tiles, shape, rows);
  unpack_fragments(tiles, shape, rows);
}
void unpack_pair(DeviceWeightLayout layout, const std::uint8_t* tiles, const FragmentShape& shape, const Rows& first,
                 const Rows& second) {
  if (layout == DeviceWeightLayout::kBlockScaled16x64) return unpack_block_scaled_pair(tiles, shape, first, second);
  unpack_fragment_pair(tiles, shape, first, second);
}

// Rows [row, ...) of a row-major NVFP4 weight, in blocks of 16.
Rows rows_at(PreparedWeight& weight, std::uint64_t row) {
  return {bytes_of(weight.elements) + row * (weight.in_features / 2),
          bytes_of(weight.block_scales) + row * (weight.in_features / weight.block_size)};
}

Status floats_to_host(const Buffer& from, std::uint64_t begin, std::uint64_t count, std::vector<float>& to,
                      DeviceStream stream) {
  const std::size_t old_size = to.size();
  to.resize(old_size + count);
  NVFP4_RETURN_IF_ERROR(from.download(to.data() + old_size, count * sizeof(float), begin * sizeof(float), stream));
  return runtime::synchronize(stream);
}

float shard_scale(const kernels::DeviceShardScales& shards, std::uint64_t row) {
  std::uint32_t i = 0;
  while (i + 1 < shards.count && row >= shards.end_rows[i]) ++i;
  return shards.scale2[i];
}

// Rows of weights that lie in the order of the file, or in tiles.
Status elements_to_host(const DeviceLinear& from, std::uint64_t first_row, std::uint64_t num_rows, std::uint64_t to_row,
                        PreparedWeight& to, DeviceStream stream) {
  if (to.format != WeightFormat::kNvfp4) {
    const std::uint64_t row_bytes = to.in_features * kernels::bits_per_weight(to.format) / 8;
    NVFP4_RETURN_IF_ERROR(from.elements.download(to.elements.data() + to_row * row_bytes, num_rows * row_bytes,
                                                 first_row * row_bytes, stream));
    return runtime::synchronize(stream);
  }
  std::vector<std::uint8_t> tiles(Fragment16x64::row_group_bytes(to.in_features));
  const std::uint64_t begin = first_row / kGroupRows * tiles.size();
  NVFP4_RETURN_IF_ERROR(from.elements.download(tiles.data(), tiles.size(), begin, stream));
  NVFP4_RETURN_IF_ERROR(runtime::synchronize(stream));
  unpack(from.layout, tiles.data(), {num_rows, to.in_features}, rows_at(to, to_row));
  return {};
}

// Of a projection of experts: what is not the weights themselves.
Result<PreparedWeight> projection(const char* name, const kernels::MoeProblem& problem, std::uint32_t num_experts,
                                  std::uint64_t out_features, std::uint64_t in_features) {
  PreparedWeight weight;
  weight.name = name;
  weight.format = WeightFormat::kNvfp4;
  weight.activation = problem.activation;
  weight.input_rule = problem.input_rule;
  weight.num_experts = num_experts;
  weight.out_features = out_features;
  weight.in_features = in_features;
  weight.block_size = static_cast<std::uint32_t>(Fragment16x64::kBlockCols);
  if (!weight.allocate()) return no_memory(weight.name);
  return weight;
}

Status scales_to_host(const Buffer& scale2, const Buffer& input_scale, std::span<const std::uint32_t> experts,
                      PreparedWeight& weight, DeviceStream stream) {
  for (const std::uint32_t expert : experts) {
    NVFP4_RETURN_IF_ERROR(floats_to_host(scale2, expert, 1, weight.scale2, stream));
    if (weight.activation != Activation::kNvfp4Static) continue;
    NVFP4_RETURN_IF_ERROR(floats_to_host(input_scale, expert, 1, weight.input_scale, stream));
  }
  return {};
}

// Matrices of some experts, one after the other.
Result<std::vector<std::uint8_t>> matrices_to_host(const Buffer& from, std::uint64_t matrix_bytes,
                                                   std::span<const std::uint32_t> experts, DeviceStream stream) {
  std::vector<std::uint8_t> tiles(experts.size() * matrix_bytes);
  for (std::size_t i = 0; i < experts.size(); ++i) {
    NVFP4_RETURN_IF_ERROR(
        from.download(tiles.data() + i * matrix_bytes, matrix_bytes, experts[i] * matrix_bytes, stream));
  }
  NVFP4_RETURN_IF_ERROR(runtime::synchronize(stream));
  return tiles;
}

// fn(row of all matrices, rows in the group, its tiles) for each row group of num_rows rows of every matrix.
template <class Fn>
void for_row_groups(const std::vector<std::uint8_t>& tiles, std::uint64_t num_matrices, std::uint64_t num_rows,
                    std::uint64_t group_rows, WorkerPool& pool, const Fn& fn) {
  const std::uint64_t num_groups = (num_rows + group_rows - 1) / group_rows;
  const std::uint64_t group_bytes = tiles.size() / (num_matrices * num_groups);
  pool.run(num_matrices * num_groups, [&](std::size_t i, std::size_t) {
    const std::uint64_t row = i % num_groups * group_rows;
    fn(i / num_groups * num_rows + row, std::min(group_rows, num_rows - row), tiles.data() + i * group_bytes);
  });
}

}  // namespace

Result<PreparedWeight> rows_to_host(const DeviceLinear& weight, std::span<const std::uint64_t> row_groups,
                                    DeviceStream stream) {
  const kernels::DeviceLinearProblem& problem = weight.problem;
  PreparedWeight out;
  out.name = weight.name;
  out.format = problem.weight;
  out.activation = problem.activation;
  out.input_rule = problem.input_rule;
  out.in_features = problem.in_features;
  out.block_size = problem.weight == WeightFormat::kNvfp4 ? static_cast<std::uint32_t>(Fragment16x64::kBlockCols) : 0;
  out.per_row_scale = true;
  const auto rows_of = [&](std::uint64_t group) {
    return std::min<std::uint64_t>(kGroupRows, problem.out_features - group * kGroupRows);
  };
  for (const std::uint64_t group : row_groups) out.out_features += rows_of(group);
  if (!out.allocate()) return no_memory(out.name);
  std::uint64_t to_row = 0;
  for (const std::uint64_t group : row_groups) {
    const std::uint64_t first_row = group * kGroupRows;
    const std::uint64_t num_rows = rows_of(group);
    NVFP4_RETURN_IF_ERROR(elements_to_host(weight, first_row, num_rows, to_row, out, stream));
    if (problem.has_bias) NVFP4_RETURN_IF_ERROR(floats_to_host(weight.bias, first_row, num_rows, out.bias, stream));
    if (problem.per_row_scale) {
      NVFP4_RETURN_IF_ERROR(floats_to_host(weight.row_scales, first_row, num_rows, out.scale2, stream));
    } else {
      for (std::uint64_t i = 0; i < num_rows; ++i) out.scale2.push_back(shard_scale(weight.shards, first_row + i));
    }
    to_row += num_rows;
  }
  const bool is_static = problem.activation == Activation::kNvfp4Static || problem.activation == Activation::kFp8Static;
  if (is_static) out.input_scale = {weight.input_scale};
  if (problem.has_pre_quant_scale) {
    NVFP4_RETURN_IF_ERROR(floats_to_host(weight.pre_quant_scale, 0, problem.in_features, out.pre_quant_scale, stream));
  }
  return out;
}

Result<ExpertProjections> experts_to_host(const DeviceExpertWeights& weights, const kernels::MoeProblem& problem,
                                          std::span<const std::uint32_t> experts, DeviceStream stream,
                                          WorkerPool& pool) {
  const auto num_experts = static_cast<std::uint32_t>(experts.size());
  const std::uint64_t hidden = problem.hidden;
  const std::uint64_t inner = problem.intermediate;
  auto up = projection("up_proj", problem, num_experts, inner, hidden);
  NVFP4_RETURN_IF_ERROR(up);
  auto down = projection("down_proj", problem, num_experts, hidden, inner);
  NVFP4_RETURN_IF_ERROR(down);
  ExpertProjections out{std::nullopt, std::move(up).value(), std::move(down).value()};
  if (problem.gated()) {
    auto gate = projection("gate_proj", problem, num_experts, inner, hidden);
    NVFP4_RETURN_IF_ERROR(gate);
    out.gate = std::move(gate).value();
    NVFP4_RETURN_IF_ERROR(scales_to_host(weights.gate_scale2, weights.fc1_input_scale, experts, *out.gate, stream));
  }
  NVFP4_RETURN_IF_ERROR(scales_to_host(weights.up_scale2, weights.fc1_input_scale, experts, out.up, stream));
  NVFP4_RETURN_IF_ERROR(scales_to_host(weights.down_scale2, weights.fc2_input_scale, experts, out.down, stream));

  const std::uint64_t fc1_bytes =
      problem.gated() ? Fragment16x64::num_pair_bytes(inner, hidden) : Fragment16x64::num_bytes(inner, hidden);
  const auto fc1 = matrices_to_host(weights.gate_up, fc1_bytes, experts, stream);
  NVFP4_RETURN_IF_ERROR(fc1);
  const auto fc2 = matrices_to_host(weights.down, Fragment16x64::num_bytes(hidden, inner), experts, stream);
  NVFP4_RETURN_IF_ERROR(fc2);
  const std::uint64_t fc1_rows = problem.gated() ? Fragment16x64::kPairRows : kGroupRows;
  for_row_groups(*fc1, num_experts, inner, fc1_rows, pool,
                 [&](std::uint64_t row, std::uint64_t num_rows, const std::uint8_t* tiles) {
                   const FragmentShape shape{num_rows, hidden};
                   if (!out.gate) return unpack(weights.layout, tiles, shape, rows_at(out.up, row));
                   unpack_pair(weights.layout, tiles, shape, rows_at(*out.gate, row), rows_at(out.up, row));
                 });
  for_row_groups(*fc2, num_experts, hidden, kGroupRows, pool,
                 [&](std::uint64_t row, std::uint64_t num_rows, const std::uint8_t* tiles) {
                   unpack(weights.layout, tiles, {num_rows, inner}, rows_at(out.down, row));
                 });
  return out;
}

}  // namespace nvfp4::prepare
