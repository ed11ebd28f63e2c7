#include "kernels/reference/moe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "formats/bf16.h"
#include "kernels/reference/linear.h"

namespace nvfp4::kernels::reference {
namespace {

// One token of an expert: its input, and where its answer goes.
struct Row {
  std::vector<float> x;  // [H], times the router's weight if that is on the input
  double weight = 1;     // of the answer
  std::uint64_t token = 0;
  std::uint64_t slot = 0;  // top_k for the shared expert
};

using Matrix = std::vector<std::vector<double>>;

// [rows][out]: one expert's product with rounded inputs.
Matrix product(const LinearWeight& weight, std::uint32_t expert_idx, const Matrix& inputs) {
  Matrix outputs(inputs.size(), std::vector<double>(weight.out_features));
  std::vector<double> w(weight.in_features);
  for (std::uint64_t n = 0; n < weight.out_features; ++n) {
    dequantize_row(weight, expert_idx, n, w);
    for (std::size_t row = 0; row < inputs.size(); ++row) {
      double sum = 0;
      for (std::uint64_t k = 0; k < weight.in_features; ++k) sum += inputs[row][k] * w[k];
      outputs[row][n] = sum;
    }
  }
  return outputs;
}

std::vector<double> rounded(const LinearWeight& weight, Activation activation, std::uint32_t expert_idx,
                            std::span<const float> values) {
  std::vector<double> out(values.size());
  round_activation(weight, activation, expert_idx, values, out);
  return out;
}

// What one expert answers: [rows][H].
Matrix answers(const MoeProblem& problem, const ExpertWeights& weights, std::uint32_t expert_idx,
               std::span<const Row> rows, InnerRounding inner_rounding) {
  Matrix inputs;
  for (const Row& row : rows) inputs.push_back(rounded(*weights.up, problem.activation, expert_idx, row.x));
  const Matrix up = product(*weights.up, expert_idx, inputs);
  const Matrix gate = problem.gated() ? product(*weights.gate, expert_idx, inputs) : up;
  Matrix inner;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    std::vector<double> values;
    for (std::size_t n = 0; n < up[row].size(); ++n) {
      values.push_back(expert_function(problem, gate[row][n], up[row][n]));
    }
    if (problem.activation == Activation::k16Bit) {
      if (inner_rounding == InnerRounding::kBF16) {
        for (double& value : values) value = round_to_bf16(static_cast<float>(value));
      }
      inner.push_back(values);
    } else {
      inner.push_back(
          rounded(*weights.down, problem.activation, expert_idx, std::vector<float>(values.begin(), values.end())));
    }
  }
  return product(*weights.down, expert_idx, inner);
}

std::int64_t place_of(const MoeProblem& problem, const DeviceMoeArgs& args, std::int32_t id) {
  if (id < 0 || id >= static_cast<std::int64_t>(problem.num_ids())) return -1;
  const std::int32_t place = args.expert_map == nullptr ? id : args.expert_map[id];
  return place >= 0 && place < static_cast<std::int64_t>(problem.num_experts) ? place : -1;
}

std::vector<float> input_of(const MoeProblem& problem, const DeviceMoeArgs& args, std::uint64_t token, float weight) {
  std::vector<float> x(problem.hidden);
  for (std::uint64_t k = 0; k < problem.hidden; ++k) x[k] = decode_bf16(args.x[token * problem.hidden + k]) * weight;
  return x;
}

// Rows of each expert, in the order of tokens and slots.
std::vector<std::vector<Row>> rows_of_experts(const MoeProblem& problem, const DeviceMoeArgs& args) {
  std::vector<std::vector<Row>> rows(problem.num_experts);
  for (std::uint64_t token = 0; token < args.num_tokens; ++token) {
    for (std::uint64_t slot = 0; slot < problem.top_k; ++slot) {
      const std::uint64_t pair = token * problem.top_k + slot;
      const std::int64_t place = place_of(problem, args, args.expert_ids[pair]);
      if (place < 0) continue;
      const float weight = args.router_weights[pair];
      const bool on_input = problem.router_weight_on_input;
      rows[static_cast<std::size_t>(place)].push_back(
          {input_of(problem, args, token, on_input ? weight : 1.0F), on_input ? 1.0 : double{weight}, token, slot});
    }
  }
  return rows;
}

}  // namespace

double expert_function(const MoeProblem& problem, double gate, double up) {
  switch (problem.function) {
    case ExpertFunction::kSilu:
      return gate / (1 + std::exp(-gate)) * up;
    case ExpertFunction::kGeluTanh: {
      const double u = std::sqrt(2 / std::numbers::pi) * (gate + 0.044715 * gate * gate * gate);
      return gate / (1 + std::exp(-2 * u)) * up;
    }
    case ExpertFunction::kSwigluOai: {
      const double limit = problem.swiglu_limit;
      const double g = std::min(gate, limit);
      const double u = std::min(std::max(up, -limit), limit);
      return g / (1 + std::exp(-problem.swiglu_alpha * g)) * (u + problem.swiglu_beta);
    }
    case ExpertFunction::kRelu2:
      return up > 0 ? up * up : up * 0.0;
  }
  return 0;
}

std::vector<double> moe(const MoeProblem& problem, const MoeWeights& weights, const DeviceMoeArgs& args,
                        InnerRounding inner) {
  // Of each slot and the shared expert, so that the sum comes in their order.
  const std::uint64_t num_slots = problem.top_k + 1;
  std::vector<std::vector<double>> parts(args.num_tokens * num_slots);
  const auto collect = [&](std::span<const Row> rows, const Matrix& outputs) {
    for (std::size_t row = 0; row < rows.size(); ++row) {
      std::vector<double>& part = parts[rows[row].token * num_slots + rows[row].slot];
      part = outputs[row];
      for (double& value : part) value *= rows[row].weight;
    }
  };
  const std::vector<std::vector<Row>> rows = rows_of_experts(problem, args);
  for (std::uint32_t e = 0; e < problem.num_experts; ++e) {
    if (!rows[e].empty()) collect(rows[e], answers(problem, weights.experts, e, rows[e], inner));
  }
  if (problem.shared_intermediate != 0) {
    std::vector<Row> all;
    for (std::uint64_t token = 0; token < args.num_tokens; ++token) {
      const double weight = args.shared_weights == nullptr ? 1.0 : double{args.shared_weights[token]};
      all.push_back({input_of(problem, args, token, 1.0F), weight, token, problem.top_k});
    }
    collect(all, answers(problem, weights.shared, 0, all, inner));
  }
  std::vector<double> y(std::size_t{args.num_tokens} * problem.hidden);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (std::size_t h = 0; h < parts[i].size(); ++h) y[i / num_slots * problem.hidden + h] += parts[i][h];
  }
  return y;
}

double relative_error(std::span<const Bf16Bits> found, std::span<const double> expected) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = decode_bf16(found[i]) - expected[i];
    difference += error * error;
    norm += expected[i] * expected[i];
  }
  if (!std::isfinite(difference) || !std::isfinite(norm)) return std::numeric_limits<double>::infinity();
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

}  // namespace nvfp4::kernels::reference
