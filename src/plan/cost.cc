#include "plan/cost.h"

#include <algorithm>
#include <cmath>

namespace nvfp4::plan {
namespace {

// Shares of what a processor's maker publishes, as measured for kernels here.
constexpr double kCpuMemoryShare = 0.75;
constexpr double kFixedCpuUs = 3;

// How many times the products of 32-bit FMAs a kernel forms in the same time.
double product_factor(const Layer& layer, Activation activation, InstructionSet kernel_set) {
  if (kernel_set == InstructionSet::kPortable) return 0.1;
  if (layer.weight != kernels::WeightFormat::kNvfp4) return 0.7;
  const double few_bits = activation == Activation::k16Bit ? 1 : 2;
  return kernel_set == InstructionSet::kAvx2 ? 0.5 * few_bits : few_bits;
}

}  // namespace

Work work_of(const Layer& shard, Activation activation, std::uint32_t whole_experts, std::uint64_t weight_bytes,
             std::uint32_t num_tokens) {
  Work work;
  const double tokens = num_tokens;
  const double sizes = static_cast<double>(shard.out_features) * static_cast<double>(shard.in_features);
  if (shard.operation != Operation::kExperts) {
    work.bytes =
        static_cast<double>(weight_bytes) + 2 * tokens * static_cast<double>(shard.out_features + shard.in_features);
    work.products = 2 * sizes * tokens;
    work.num_roundings = activation == Activation::k16Bit ? 0 : 1;
    return work;
  }
  const double share = static_cast<double>(shard.num_experts) / whole_experts;
  const double pairs = tokens * shard.top_k * share;
  const double unused = std::pow(1 - static_cast<double>(shard.top_k) / whole_experts, tokens);
  const double matrices = shard.gated() ? 3 : 2;
  work.bytes = static_cast<double>(weight_bytes) * (1 - unused) +
               pairs * (8 * static_cast<double>(shard.in_features) + 4 * static_cast<double>(shard.out_features));
  work.products = 2 * matrices * sizes * pairs;
  work.num_roundings = activation == Activation::k16Bit ? 0 : 2;
  return work;
}

double gpu_time_us(const Work& work, const kernels::DeviceSpeed& speed, const DeviceRates& rates) {
  const double tflops = speed.fp4_products && rates.fp4_tflops > 0 ? rates.fp4_tflops : rates.bf16_tflops;
  const double memory_us = work.bytes / (rates.memory_gb_per_s * speed.memory) * 1e-3;
  const double product_us = work.products / (tflops * speed.products) * 1e-6;
  return speed.fixed_us + work.num_roundings * kRoundingUs + std::max(memory_us, product_us) +
         speed.overlap * std::min(memory_us, product_us);
}

double cpu_time_us(const Work& work, const Layer& shard, Activation activation, InstructionSet kernel_set,
                   const Cpu& cpu) {
  const double memory_us = work.bytes / (cpu.memory_gb_per_s * kCpuMemoryShare) * 1e-3;
  const double product_us = work.products / (cpu.f32_gflops * product_factor(shard, activation, kernel_set)) * 1e-3;
  return kFixedCpuUs + std::max(memory_us, product_us);
}

}  // namespace nvfp4::plan
