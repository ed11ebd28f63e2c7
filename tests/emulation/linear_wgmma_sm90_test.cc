// Linear layers for many tokens on devices of several sizes: in each way in which blocks may share K.
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "emulation/emulated_device.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma.h"
#include "kernels/cuda_sm90/linear_nvfp4_bf16_wgmma_choice.h"
#include "support/gpu_linear.h"

// Not in emulation: shared variables of its own functions are none of kernels.
namespace nvfp4 {
namespace {

using kernels::cuda_sm90::choose_linear_tiling;
using kernels::cuda_sm90::kClusters;
using kernels::cuda_sm90::LinearSplits;

// As the kernel's run() will choose.
std::pair<std::uint32_t, std::uint32_t> kind_and_splits(const support::LinearSpec& spec, std::uint32_t num_tokens,
                                                        std::uint32_t num_sms) {
  LinearSplits splits{.in_memory = true};
  for (std::size_t i = 0; i < kClusters.size(); ++i) splits.clusters[i] = num_sms / kClusters[i];
  const auto tiling = choose_linear_tiling(static_cast<std::uint32_t>(spec.out_features),
                                           static_cast<std::uint32_t>(spec.in_features), num_tokens, num_sms, splits);
  return {tiling.kind, tiling.num_splits};
}

TEST(LinearWgmmaSplits, EveryWayMatchesTheReference) {
  support::Random random(1);
  std::set<std::pair<std::uint32_t, std::uint32_t>> ways;
  for (const std::uint32_t num_sms : {1U, 2U, 3U, 4U, 8U, 16U}) {
    for (const std::uint32_t out : {100U, 150U}) {
      for (const std::uint32_t num_tokens : {3U, 20U, 50U, 100U, 130U, 200U}) {
        for (const std::uint32_t in : {1040U, 4096U}) {
          support::LinearSpec spec;
          spec.format = kernels::WeightFormat::kNvfp4;
          spec.out_features = out;
          spec.in_features = in;
          spec.num_shards = 2;
          spec.bias = out == 150;
          const auto way = kind_and_splits(spec, num_tokens, num_sms);
          if (!ways.insert(way).second) continue;
          emulation::emulated_device().num_sms = num_sms;
          const support::GpuQueue queue;
          support::expect_linear_close(queue, kernels::cuda_sm90::linear_nvfp4_bf16_wgmma(), spec, num_tokens, random);
        }
      }
    }
  }
  using Way = std::pair<std::uint32_t, std::uint32_t>;
  for (const Way& way : {Way{32, 1}, {32, 8}, {64, 1}, {64, 4}, {128, 1}, {128, 2}, {128, 4}, {256, 1}, {256, 2}}) {
    EXPECT_TRUE(ways.contains(way)) << way.first << " tokens, K in " << way.second;
  }
}

}  // namespace
}  // namespace nvfp4
