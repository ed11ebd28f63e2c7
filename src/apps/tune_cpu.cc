#include "apps/tune_cpu.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "apps/machine.h"
#include "apps/samples.h"
#include "formats/bf16.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "prepare/random_weight.h"
#include "prepare/relayout.h"

namespace nvfp4::apps {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMinRepetitions = 3;
constexpr std::uint64_t kMinColdBytes = std::uint64_t{64} << 20U;
constexpr std::uint64_t kMaxColdBytes = std::uint64_t{1} << 30U;
constexpr std::size_t kMaxCopies = 64;

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

// About unit variance, BF16.
std::vector<float> random_values(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] =
        round_to_bf16(static_cast<float>(static_cast<double>(prepare::mix_bits(i + 1) >> 40U) * 0x1p-24 * 3.4 - 1.7));
  }
  return values;
}

}  // namespace

// Copies take turns, so that each comes from memory.
Result<const CpuLayerTimer::Copies*> CpuLayerTimer::copies(kernels::WeightLayout layout) {
  Copies& all = copies_[layout];
  if (!all.empty()) return &all;
  const std::uint64_t cold = std::clamp(2 * last_level_cache_bytes(), kMinColdBytes, kMaxColdBytes);
  std::size_t num_copies = 1;
  for (std::size_t i = 0; i < num_copies; ++i) {
    prepare::PreparedWeight weight;
    weight.name = "tune";
    weight.format = problem_.weight;
    weight.activation = problem_.activation;
    weight.num_experts = problem_.num_experts;
    weight.out_features = problem_.out_features;
    weight.in_features = problem_.in_features;
    weight.block_size = problem_.block_size;
    const double spread = 1 / std::sqrt(static_cast<double>(problem_.in_features));
    if (!prepare::fill_random(weight, i + 1, spread, pool_)) {
      return Error{ErrorCode::kIo, "nvfp4 tune", "there is not enough memory for a layer's weights"};
    }
    NVFP4_RETURN_IF_ERROR(prepare::relayout(weight, layout, pool_));
    num_copies = std::clamp<std::size_t>(cold / std::max<std::uint64_t>(weight.num_bytes(), 1) + 1, 1, kMaxCopies);
    all.push_back(std::move(weight));
  }
  return &all;
}

// Rows of each expert that is here, when every token goes to top_k different ones of all ranks; at least one row.
std::vector<std::uint32_t> CpuLayerTimer::random_offsets(std::uint32_t num_tokens) const {
  if (whole_experts_ == 1) return {0, num_tokens};
  std::vector<std::uint32_t> offsets(problem_.num_experts + std::size_t{1});
  std::vector<std::uint32_t> experts(whole_experts_);
  std::iota(experts.begin(), experts.end(), 0U);
  std::uint64_t key = 0;
  for (std::uint32_t t = 0; t < num_tokens; ++t) {
    for (std::uint32_t j = 0; j < top_k_; ++j) {
      const std::size_t other = j + prepare::mix_bits(++key) % (experts.size() - j);
      std::swap(experts[j], experts[other]);
      if (experts[j] < problem_.num_experts) ++offsets[experts[j] + std::size_t{1}];
    }
  }
  if (std::all_of(offsets.begin(), offsets.end(), [](std::uint32_t count) { return count == 0; })) offsets[1] = 1;
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  return offsets;
}

Result<double> CpuLayerTimer::us(std::string_view kernel_name, std::uint32_t num_tokens) {
  const kernels::LinearKernel& kernel = *kernels::find_linear_kernel(kernel_name);
  const auto weights = copies(kernel.layout);
  NVFP4_RETURN_IF_ERROR(weights);
  std::vector<std::uint32_t> offsets = random_offsets(num_tokens);
  const std::uint32_t num_rows = offsets.back();
  if (problem_.num_experts == 1) offsets.clear();
  const std::vector<float> x = random_values(num_rows * problem_.in_features);
  std::vector<float> y(num_rows * problem_.out_features);
  const kernels::LinearArgs args{x.data(), y.data(), num_rows, offsets, true};
  workspace_.reserve(kernel.workspace_bytes(problem_, num_rows, pool_.num_workers()));
  const auto repeat = [&] {
    const prepare::PreparedWeight& weight = (**weights)[next_copy_++ % (*weights)->size()];
    const Clock::time_point began = Clock::now();
    kernel.run(weight.view(), problem_.activation, args, workspace_, pool_);
    return seconds_since(began);
  };
  (void)repeat();
  Samples times;
  for (double total = 0; times.size() < kMinRepetitions || total < seconds_;) {
    times.add(repeat());
    total += times.last();
  }
  return times.median() * 1e6;
}

}  // namespace nvfp4::apps
