// Time of a router with the sort of its pairs by expert, on a GPU: a CUDA graph of 64 calls, each with logits of its
// own; the median of its replays. Prints one line for each router and number of tokens.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <span>
#include <vector>

#include "apps/bench_device_laps.h"
#include "device/buffer.h"
#include "device/device.h"
#include "device/graph.h"
#include "device/stream.h"
#include "kernels/cuda_shared/route_experts.h"

namespace {

using nvfp4::Result;
using nvfp4::Status;
using nvfp4::kernels::RouterProblem;
using nvfp4::kernels::RouterScore;

constexpr std::size_t kCalls = 64;
constexpr std::size_t kReplays = 50;
constexpr std::array<std::uint32_t, 8> kTokens = {1, 4, 16, 64, 128, 512, 2048, 8192};

struct Router {
  const char* name;
  RouterProblem problem;
};
const std::array<Router, 4> kRouters = {{{"qwen3-30b", {RouterScore::kSoftmax, 128, 8, 1, 1, true, false, 1.0F}},
                                         {"qwen3.6-35b", {RouterScore::kSoftmax, 256, 8, 1, 1, true, false, 1.0F}},
                                         {"nemotron-nano", {RouterScore::kSigmoid, 128, 6, 1, 1, true, true, 2.5F}},
                                         {"deepseek-v3", {RouterScore::kSigmoid, 256, 8, 8, 4, true, true, 2.5F}}}};

// Device memory of one router and number of tokens.
struct Memory {
  nvfp4::Buffer logits, bias, ids, weights, offsets, pair_of_row, row_of_pair, workspace;
};

Result<nvfp4::Buffer> random_floats(std::size_t count, std::mt19937& random, const nvfp4::Stream& stream) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  std::generate(values.begin(), values.end(), [&] { return normal(random); });
  return nvfp4::to_device(std::span<const float>(values), stream.get());
}

Status fill(const RouterProblem& router, std::uint32_t num_tokens, const nvfp4::Stream& stream, Memory& memory) {
  std::mt19937 random(num_tokens);
  const std::size_t pairs = std::size_t{num_tokens} * router.top_k;
  const auto allocate = [](std::size_t num_bytes, nvfp4::Buffer& out) -> Status {
    auto buffer = nvfp4::Buffer::allocate(num_bytes, "routing_cuda_bench");
    NVFP4_RETURN_IF_ERROR(buffer);
    out = std::move(buffer).value();
    return {};
  };
  auto logits = random_floats(kCalls * num_tokens * router.num_experts, random, stream);
  NVFP4_RETURN_IF_ERROR(logits);
  memory.logits = std::move(logits).value();
  auto bias = random_floats(router.num_experts, random, stream);
  NVFP4_RETURN_IF_ERROR(bias);
  memory.bias = std::move(bias).value();
  NVFP4_RETURN_IF_ERROR(allocate(pairs * 4, memory.ids));
  NVFP4_RETURN_IF_ERROR(allocate(pairs * 4, memory.weights));
  NVFP4_RETURN_IF_ERROR(allocate((router.num_experts + 1) * std::size_t{4}, memory.offsets));
  NVFP4_RETURN_IF_ERROR(allocate(pairs * 4, memory.pair_of_row));
  NVFP4_RETURN_IF_ERROR(allocate(pairs * 4, memory.row_of_pair));
  return allocate(std::max<std::size_t>(nvfp4::kernels::sort_workspace_bytes(num_tokens, router.num_experts), 16),
                  memory.workspace);
}

Status enqueue(const RouterProblem& router, std::uint32_t num_tokens, const nvfp4::Stream& stream,
               const Memory& memory) {
  for (std::size_t call = 0; call < kCalls; ++call) {
    nvfp4::kernels::DeviceRouterArgs args;
    args.num_tokens = num_tokens;
    args.logits = memory.logits.as<float>() + call * num_tokens * router.num_experts;
    args.bias = router.has_bias ? memory.bias.as<float>() : nullptr;
    args.expert_ids = memory.ids.as<std::int32_t>();
    args.router_weights = memory.weights.as<float>();
    const nvfp4::kernels::ExpertLookup all{nullptr, router.num_experts, router.num_experts};
    const nvfp4::kernels::SortedPairs out{memory.offsets.as<std::int32_t>(), memory.pair_of_row.as<std::int32_t>(),
                                          memory.row_of_pair.as<std::int32_t>()};
    NVFP4_RETURN_IF_ERROR(
        nvfp4::kernels::route_and_sort(router, args, all, out, memory.workspace.data(), stream.get()));
  }
  return {};
}

// Microseconds of a call.
Result<double> measure(const RouterProblem& router, std::uint32_t num_tokens, const nvfp4::Stream& stream) {
  Memory memory;
  NVFP4_RETURN_IF_ERROR(fill(router, num_tokens, stream, memory));
  auto graph = nvfp4::Graph::capture(stream, [&] { return enqueue(router, num_tokens, stream, memory); });
  NVFP4_RETURN_IF_ERROR(graph);
  auto seconds = nvfp4::apps::DeviceLaps::measure(stream.get(), kReplays, [&] { return graph->launch(stream.get()); });
  NVFP4_RETURN_IF_ERROR(seconds);
  std::nth_element(seconds->begin(), seconds->begin() + kReplays / 2, seconds->end());
  return (*seconds)[kReplays / 2] * 1e6 / kCalls;
}

Status run() {
  auto device = nvfp4::Device::open(0);
  NVFP4_RETURN_IF_ERROR(device);
  auto stream = nvfp4::Stream::create();
  NVFP4_RETURN_IF_ERROR(stream);
  for (const Router& router : kRouters) {
    for (const std::uint32_t num_tokens : kTokens) {
      const auto time_us = measure(router.problem, num_tokens, *stream);
      NVFP4_RETURN_IF_ERROR(time_us);
      fmt::print("{} t{}: {:.2f} us\n", router.name, num_tokens, *time_us);
    }
  }
  return {};
}

}  // namespace

int main() {
  const Status status = run();
  if (status) return 0;
  fmt::print(stderr, "routing_cuda_bench: {}\n", status.error().to_string());
  return 2;
}
