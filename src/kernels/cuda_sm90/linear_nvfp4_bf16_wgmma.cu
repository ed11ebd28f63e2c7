// y = W A(x) for many tokens: persistent blocks, each with a tile of 128 or 256 rows and up to 256 tokens at a time;
// few tiles share K between several blocks. Activations that are not x itself are rounded by a kernel before,
// to numbers that are exact in BF16. Sums run over K in ascending order, in as many parts as blocks share it. Bound:
// the tensor cores; of less than about 100 tokens, decoding.
#include <algorithm>

#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_choice.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_output.cuh"
#include "kernels/cuda_sm90/linear_wgmma_places.h"
#include "kernels/cuda_sm90/wgmma_launch.cuh"
#include "kernels/cuda_sm90/wgmma_offers.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr const char* kName = "linear_nvfp4_bf16_wgmma";

static_assert(WgmmaShape<32>::kConsumerWarps == kPairWarps && WgmmaShape<kPair64>::kConsumerWarps == kPairWarps);
static_assert(WgmmaShape<kPair64>::kMaxColumns == kPairColumns && WgmmaShape<kPair64>::kBlocksPerSm == 2);
static_assert(kLinearWgmmaSharedBytes == shared_bytes_with<256>(sizeof(TileMap)));

// Clusters of so many blocks that the device runs at once.
template <std::uint32_t kKind>
std::uint32_t max_clusters(std::uint32_t num_splits) {
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {num_splits, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = num_splits;
  config.blockDim = WgmmaShape<kKind>::kThreads;
  config.dynamicSmemBytes = WgmmaShape<kKind>::kSharedBytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int count = 0;
  if (cudaOccupancyMaxActiveClusters(&count, wgmma_kernel<LinearOutput, kKind, true>, &config) != cudaSuccess) {
    return 0;
  }
  return static_cast<std::uint32_t>(count);
}

Result<DeviceLinearPlan> plan(const DeviceLinearProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  DeviceLinearPlan plan = linear_nvfp4_bf16_wgmma_offer().outline(problem, caps, max_tokens);
  if (is_rounded(problem)) NVFP4_RETURN_IF_ERROR(let_quantizer_overlap());
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, 32>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, kPair64>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, kLines128>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, kLines256>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, 32, true>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, kPair64, true>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, 128, true>(kName)));
  NVFP4_RETURN_IF_ERROR((allow_wgmma<LinearOutput, 256, true>(kName)));
  if (!problem.batch_invariant) {  // how often K is shared depends on the number of tokens
    for (std::size_t i = 0; i < kClusters.size(); ++i) {
      // Of more than 7 in 8 some start after the others, but of pairs.
      const std::uint32_t eighths = kClusters[i] > 2 ? 7 : 8;
      plan.sizes.choice[i] = max_clusters<128>(kClusters[i]) * eighths / 8;
    }
  }
  return plan;
}

LinearSplits splits_of(const DeviceLinearPlan& plan) {
  LinearSplits splits;
  splits.in_memory = !plan.problem.batch_invariant;
  std::copy_n(plan.sizes.choice.begin(), kClusters.size(), splits.clusters.begin());
  return splits;
}

// The rows that are multiplied, and a factor for each.
struct Rows {
  const Bf16Bits* values = nullptr;
  const float* factors = nullptr;
};

Result<Rows> round_activations(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight,
                               const DeviceLinearArgs& args, const LinearWgmmaPlaces& places,
                               const DeviceWorkspace& workspace, DeviceStream stream) {
  if (!is_rounded(plan.problem)) return Rows{args.x, nullptr};
  QuantizeActivations q;
  q.activation = plan.problem.activation;
  q.rule = plan.problem.input_rule;
  q.num_rows = args.num_tokens;
  q.in_features = plan.problem.in_features;
  q.x = args.x;
  q.pre_quant_scale = plan.problem.has_pre_quant_scale ? weight.pre_quant_scale : nullptr;
  q.input_scale = weight.input_scale;
  q.values = reinterpret_cast<Bf16Bits*>(workspace.data + places.values_at);
  q.row_scale = reinterpret_cast<float*>(workspace.data + places.factors_at);
  NVFP4_RETURN_IF_ERROR(quantize_activations(q, stream));
  return Rows{q.values, q.row_scale};
}

template <bool kSplit>
Status launch_kind(std::uint32_t kind, const WgmmaRun& call, const LinearOutput& output, DeviceStream stream) {
  if (kind == 32) return launch_wgmma<32, kSplit>(kName, call, output, stream);
  if (kind == 64) return launch_wgmma<kPair64, kSplit>(kName, call, output, stream);
  if (kind == 128) return launch_wgmma<kSplit ? 128 : kLines128, kSplit>(kName, call, output, stream);
  return launch_wgmma<kSplit ? 256 : kLines256, kSplit>(kName, call, output, stream);
}

Status run(const DeviceLinearPlan& plan, const DeviceLinearWeight& weight, const DeviceLinearArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_device_linear_call(plan, weight, args, workspace));
  if (args.num_tokens == 0) return {};
  const DeviceLinearProblem& problem = plan.problem;
  const LinearTiling tiling = choose_linear_tiling(problem.out_features, problem.in_features, args.num_tokens,
                                                   plan.sizes.num_sms, splits_of(plan));
  const LinearWgmmaPlaces places(problem, plan.sizes.num_sms, plan.sizes.max_tokens);
  const auto rows = round_activations(plan, weight, args, places, workspace, stream);
  NVFP4_RETURN_IF_ERROR(rows);
  LinearOutput output;
  output.source.box_rows = tiling.max_columns;
  NVFP4_RETURN_IF_ERROR(
      matrix_map(rows->values, args.num_tokens, problem.in_features, tiling.max_columns, output.source.map));
  output.shards = weight.shards;
  output.bias = problem.has_bias ? weight.bias : nullptr;
  output.row_factors = rows->factors;
  output.out_features = problem.out_features;
  output.to_f32 = problem.output == DeviceOutput::kF32;
  output.y = args.y;
  WgmmaRun call;
  call.weights = static_cast<const std::uint8_t*>(weight.elements);
  call.row_groups = (problem.out_features + 15) / 16;
  call.in_features = problem.in_features;
  call.num_rows = args.num_tokens;
  call.max_columns = tiling.max_columns;
  call.band = tiling.band;
  call.num_splits = tiling.num_splits;
  call.parts = reinterpret_cast<float4*>(workspace.data + places.parts_at);
  call.arrivals = reinterpret_cast<std::uint32_t*>(workspace.data);
  call.num_sms = plan.sizes.num_sms;
  return tiling.num_splits > 1 ? launch_kind<true>(tiling.kind, call, output, stream)
                               : launch_kind<false>(tiling.kind, call, output, stream);
}

const DeviceLinearKernel kKernel = kernel_of<DeviceLinearKernel>(linear_nvfp4_bf16_wgmma_offer(), plan, run);

}  // namespace

const DeviceLinearKernel& linear_nvfp4_bf16_wgmma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm90
