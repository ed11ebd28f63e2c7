// A layer to measure, written so that the line can be pasted into a command on any machine:
//
//   linear/w4a16/n4096/k2048/t1                     y [t, n] = x [t, k] W
//   moe/w4a4/silu/h2048/i768/e128/k8/t512           hidden, intermediate, experts, experts for each token, tokens
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/contract/linear.h"
#include "nvfp4/result.h"
#include "nvfp4/tensor.h"

namespace nvfp4::apps {

// Weights and what is done with activations. moe: the first three.
enum class BenchScheme : std::uint8_t {
  kW4A16,  // NVFP4, 16-bit activations
  kW4A4,   // NVFP4, NVFP4 activations under a static scale
  kBF16,
  kFp8,   // E4M3, 16-bit activations
  kW8A8,  // E4M3, E4M3 activations with a scale per token
  kF16,
  kF32,
};
[[nodiscard]] kernels::WeightFormat weight_format(BenchScheme scheme);
[[nodiscard]] Activation activation(BenchScheme scheme);

// Between the projections of an expert. kRelu2 has no gate: up and down only. kSwigluOai: with its usual constants, on
// a GPU only.
enum class ExpertActivation : std::uint8_t { kSilu, kRelu2, kGeluTanh, kSwigluOai };

struct BenchProblem {
  enum class Operation : std::uint8_t { kLinear, kMoe };

  Operation operation = Operation::kLinear;
  BenchScheme scheme = BenchScheme::kW4A16;
  std::uint32_t num_tokens = 1;
  // Of linear.
  std::uint64_t out_features = 0;
  std::uint64_t in_features = 0;
  // Of moe.
  ExpertActivation expert_activation = ExpertActivation::kSilu;
  std::uint64_t hidden_size = 0;
  std::uint64_t intermediate_size = 0;
  std::uint32_t num_experts = 0;
  std::uint32_t top_k = 0;
  // Of all ranks, among which tokens choose; the problem's are a rank's. Not in the text. 0: num_experts.
  std::uint32_t num_global_experts = 0;

  [[nodiscard]] bool is_moe() const { return operation == Operation::kMoe; }
  [[nodiscard]] std::uint64_t input_size() const { return is_moe() ? hidden_size : in_features; }
  [[nodiscard]] std::uint64_t output_size() const { return is_moe() ? hidden_size : out_features; }
  [[nodiscard]] std::uint32_t num_ids() const { return num_global_experts == 0 ? num_experts : num_global_experts; }
  [[nodiscard]] std::uint32_t num_projections() const { return expert_activation == ExpertActivation::kRelu2 ? 2 : 3; }
  [[nodiscard]] std::string to_string() const;

  // Weights and block scales that must be read when the tokens chose that many different experts (linear: any number),
  // the router's included.
  [[nodiscard]] double bytes_read(double num_distinct_experts) const;
  [[nodiscard]] double weight_bytes() const { return bytes_read(num_experts); }
  // A multiplication and an addition are two; without the router's.
  [[nodiscard]] double operations() const;
};

[[nodiscard]] Result<BenchProblem> parse_bench_problem(std::string_view text);

}  // namespace nvfp4::apps
