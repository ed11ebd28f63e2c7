// A mixture-of-experts layer for many tokens: pairs of tokens and experts are sorted by expert; FC1 gathers rows of x
// and writes act(gate, up) as BF16 in the order in which FC2 copies it to shared memory; FC2 writes a partial result of
// each pair; a last kernel adds them up. A shared expert comes first, as two kernels of its own. W4A4
// activations become numbers that are exact in BF16: x by a kernel before FC1; h where FC1 stores it or, if each row
// has a scale of its own, by a kernel between the two. Bound: weights from memory and their decoding for few tokens of
// each expert, the tensor cores for many.
//
// Partial results are float32, unless there are many of them: then two share a word (paired_floats.cuh), an error of at
// most 2^-11 of the larger of the two. A token's other bits depend on itself alone.
#include "kernels/cuda_shared/combine_experts.h"
#include "kernels/cuda_shared/moe_steps.h"
#include "kernels/cuda_shared/quantize_activations.h"
#include "kernels/cuda_sm90/combine_paired.h"
#include "kernels/cuda_sm90/grouped_linear_nvfp4_bf16_wgmma.cuh"
#include "kernels/cuda_sm90/moe_nvfp4_bf16_wgmma.h"
#include "kernels/cuda_sm90/moe_wgmma_places.h"
#include "kernels/cuda_sm90/wgmma_offers.h"

namespace nvfp4::kernels::cuda_sm90 {
namespace {

constexpr const char* kName = "moe_nvfp4_bf16_wgmma";
static_assert(kMoeWgmmaSharedBytes == shared_bytes_with<256>(sizeof(TileMap)));
static_assert(kMoeWgmmaSharedBytes >= shared_bytes_with<64>(sizeof(TileMap) + sizeof(SharedMagnitudes)));
static_assert(kMoeWgmmaSharedBytes >= shared_bytes_with<128>(sizeof(TileMap) + sizeof(SharedMagnitudes)));
static_assert(kMoeWgmmaMaxRowNumbers == kMaxRowNumbers);

std::uint32_t kind_of_fc1(const ExpertLayer& layer) { return expert_columns(layer.num_rows, layer.num_experts); }
std::uint32_t kind_of_fc2(const ExpertLayer& layer) {
  return layer.num_rows / layer.num_experts > 180 ? 256 : kind_of_fc1(layer);
}
std::uint32_t band_of(const ExpertLayer& layer, std::uint32_t kind) {
  return layer.is_shared ? (kind > 128 ? 16 : 8) : 0;
}

struct Call {
  const MoeProblem& problem;
  const DeviceMoeArgs& args;
  const MoeWgmmaPlaces workspace;
  const std::uint32_t num_sms;
  const DeviceStream stream;

  [[nodiscard]] MoeSteps steps() const { return {problem, args, workspace.sorted, stream}; }
};

// The rows that FC1 multiplies: x, or rounded.
Result<RowSource> fc1_rows(const Call& c, const ExpertLayer& layer, const MoeWgmmaBuffers& buffers) {
  const MoeProblem& p = c.problem;
  const std::int32_t* pair_of_row = layer.is_shared ? nullptr : c.workspace.sorted.pair_of_row;
  if (!is_rounded(p)) return RowSource{c.args.x, pair_of_row, p.top_k};
  NVFP4_RETURN_IF_ERROR(c.steps().round_rows_of_fc1(layer, buffers.rows, buffers.row_factors));
  return RowSource{buffers.rows, c.steps().has_row_of_pair(layer) ? nullptr : pair_of_row, p.top_k};
}

WgmmaRun run_of(const Call& c, const ExpertLayer& layer, const std::uint8_t* weights, std::uint32_t row_groups,
                std::uint32_t in_features, std::uint32_t kind) {
  WgmmaRun run;
  run.weights = weights;
  run.num_experts = layer.num_experts;
  run.row_groups = row_groups;
  run.in_features = in_features;
  run.offsets = layer.is_shared ? nullptr : c.workspace.sorted.offsets;
  run.num_rows = layer.num_rows;
  run.kind = kind;
  run.band = band_of(layer, kind);
  run.num_sms = c.num_sms;
  return run;
}

template <ExpertFunction kFunction, bool kRounds>
Status launch_fc1(const Call& c, const ExpertLayer& layer, const MoeWgmmaBuffers& buffers) {
  const auto rows = fc1_rows(c, layer, buffers);
  NVFP4_RETURN_IF_ERROR(rows);
  ExpertUp<kFunction, kRounds> up;
  up.source = *rows;
  up.gate_scale2 = layer.weights.gate_scale2;
  up.up_scale2 = layer.weights.up_scale2;
  if (c.problem.activation == Activation::kNvfp4Static) {
    up.x_input_scales = layer.weights.fc1_input_scale;
    up.h_input_scales = layer.weights.fc2_input_scale;
    up.rule = c.problem.input_rule;
  } else {
    up.row_factors = buffers.row_factors;
  }
  if (!layer.is_shared && !is_rounded(c.problem) && c.problem.router_weight_on_input) {
    up.pair_factors = c.args.router_weights;
  }
  up.alpha = c.problem.swiglu_alpha;
  up.beta = c.problem.swiglu_beta;
  up.limit = c.problem.swiglu_limit;
  up.intermediate = layer.intermediate;
  up.image = buffers.image;
  up.image_rows = buffers.image_rows;
  up.h = buffers.h_f32;
  up.pair_of_h = layer.is_shared ? nullptr : c.workspace.sorted.pair_of_row;
  const std::uint32_t row_groups = (is_gated(kFunction) ? 2 : 1) * layer.intermediate / 16;
  return launch_grouped_wgmma(
      kName, run_of(c, layer, layer.weights.gate_up, row_groups, c.problem.hidden, kind_of_fc1(layer)), up, c.stream);
}

template <ExpertFunction kFunction>
Status run_fc1(const Call& c, const ExpertLayer& layer, const MoeWgmmaBuffers& buffers) {
  return is_rounded(c.problem) ? launch_fc1<kFunction, true>(c, layer, buffers)
                               : launch_fc1<kFunction, false>(c, layer, buffers);
}

Status run_fc1(const Call& c, const ExpertLayer& layer, const MoeWgmmaBuffers& buffers) {
  switch (c.problem.function) {
    case ExpertFunction::kSilu:
      return run_fc1<ExpertFunction::kSilu>(c, layer, buffers);
    case ExpertFunction::kGeluTanh:
      return run_fc1<ExpertFunction::kGeluTanh>(c, layer, buffers);
    case ExpertFunction::kSwigluOai:
      return run_fc1<ExpertFunction::kSwigluOai>(c, layer, buffers);
    case ExpertFunction::kRelu2:
      break;
  }
  return run_fc1<ExpertFunction::kRelu2>(c, layer, buffers);
}

template <class Columns>
Status launch_fc2(const Call& c, const ExpertLayer& layer, const Columns& columns, const float* row_factors) {
  ExpertDown<Columns> down;
  down.source = columns;
  down.scale2 = layer.weights.down_scale2;
  if (c.problem.activation == Activation::kNvfp4Static) down.input_scales = layer.weights.fc2_input_scale;
  down.rule = c.problem.input_rule;
  down.row_factors = row_factors;
  down.row_groups = c.problem.hidden / 16;
  if (layer.is_shared) {
    down.partial = c.workspace.shared_partial;
  } else if (pairs_partials(c.problem, c.args.num_tokens)) {
    down.paired = reinterpret_cast<std::uint32_t*>(c.workspace.partial);
    down.paired_scales = c.workspace.partial_scales;
  } else {
    down.partial = reinterpret_cast<float*>(c.workspace.partial);
  }
  return launch_grouped_wgmma(
      kName, run_of(c, layer, layer.weights.down, down.row_groups, layer.intermediate, kind_of_fc2(layer)), down,
      c.stream);
}

Status run_fc2(const Call& c, const ExpertLayer& layer, const MoeWgmmaBuffers& buffers) {
  if (!rounds_rows_of_h(c.problem))
    return launch_fc2(c, layer, ColumnImage{buffers.image, buffers.image_rows}, nullptr);
  NVFP4_RETURN_IF_ERROR(c.steps().round_h(layer, buffers.h_f32, buffers.h, buffers.h_factors));
  const std::int32_t* pair_of_row = layer.is_shared ? nullptr : c.workspace.sorted.pair_of_row;
  return launch_fc2(c, layer, RowSource{buffers.h, pair_of_row, 1}, buffers.h_factors);
}

Status add_up(const Call& c) {
  if (!pairs_partials(c.problem, c.args.num_tokens)) {
    auto combine = c.steps().combination<CombineExperts>(c.workspace.shared_partial);
    combine.partial = reinterpret_cast<const float*>(c.workspace.partial);
    return combine_experts(combine, c.stream);
  }
  auto combine = c.steps().combination<CombinePaired>(c.workspace.shared_partial);
  combine.paired = reinterpret_cast<const std::uint32_t*>(c.workspace.partial);
  combine.scales = c.workspace.partial_scales;
  return combine_paired(combine, c.stream);
}

template <ExpertFunction kFunction>
Status allow_fc1(const MoeProblem& problem) {
  return is_rounded(problem) ? allow_grouped_wgmma<ExpertUp<kFunction, true>>(kName)
                             : allow_grouped_wgmma<ExpertUp<kFunction, false>>(kName);
}

Status allow_fc1(const MoeProblem& problem) {
  switch (problem.function) {
    case ExpertFunction::kSilu:
      return allow_fc1<ExpertFunction::kSilu>(problem);
    case ExpertFunction::kGeluTanh:
      return allow_fc1<ExpertFunction::kGeluTanh>(problem);
    case ExpertFunction::kSwigluOai:
      return allow_fc1<ExpertFunction::kSwigluOai>(problem);
    case ExpertFunction::kRelu2:
      break;
  }
  return allow_fc1<ExpertFunction::kRelu2>(problem);
}

Result<DeviceMoePlan> plan(const MoeProblem& problem, const DeviceCaps& caps, std::uint32_t max_tokens) {
  const DeviceMoePlan plan = moe_nvfp4_bf16_wgmma_offer().outline(problem, caps, max_tokens);
  if (is_rounded(problem)) NVFP4_RETURN_IF_ERROR(let_quantizer_overlap());
  NVFP4_RETURN_IF_ERROR(allow_fc1(problem));
  NVFP4_RETURN_IF_ERROR(allow_grouped_wgmma<ExpertDown<ColumnImage>>(kName));
  NVFP4_RETURN_IF_ERROR(allow_grouped_wgmma<ExpertDown<RowSource>>(kName));
  return plan;
}

Status run(const DeviceMoePlan& plan, const DeviceMoeWeights& weights, const DeviceMoeArgs& args,
           const DeviceWorkspace& workspace, DeviceStream stream) {
  NVFP4_RETURN_IF_ERROR(check_moe_call(plan, weights, args, workspace));
  if (args.num_tokens == 0) return {};
  const MoeProblem& p = plan.problem;
  const Call c{p, args, MoeWgmmaPlaces(p, plan.sizes.max_tokens, workspace.data), plan.sizes.num_sms, stream};
  if (p.shared_intermediate != 0) {
    const ExpertLayer shared = shared_layer(p, weights, args);
    NVFP4_RETURN_IF_ERROR(run_fc1(c, shared, c.workspace.shared));
    NVFP4_RETURN_IF_ERROR(run_fc2(c, shared, c.workspace.shared));
  }
  const ExpertLayer routed = routed_layer(p, weights, args);
  NVFP4_RETURN_IF_ERROR(c.steps().sort(c.workspace.sort));
  NVFP4_RETURN_IF_ERROR(run_fc1(c, routed, c.workspace.routed));
  NVFP4_RETURN_IF_ERROR(run_fc2(c, routed, c.workspace.routed));
  return add_up(c);
}

const DeviceMoeKernel kKernel = kernel_of<DeviceMoeKernel>(moe_nvfp4_bf16_wgmma_offer(), plan, run);

}  // namespace

const DeviceMoeKernel& moe_nvfp4_bf16_wgmma() { return kKernel; }

}  // namespace nvfp4::kernels::cuda_sm90
