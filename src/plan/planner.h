// Which kernel serves each kind of layer of a model on a machine, for how many tokens, and why no other does. A
// function of its arguments alone: the same ones give the same plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/activation_request.h"
#include "kernels/contract/device_linear.h"
#include "kernels/contract/device_moe.h"
#include "kernels/contract/linear.h"
#include "nvfp4/result.h"
#include "plan/layer.h"
#include "plan/machine.h"
#include "plan/measured_choice.h"
#include "plan/measured_table.h"
#include "plan/shard.h"

namespace nvfp4::plan {

using checkpoint::ActivationRequest;

// One kernel for a kind of layer, of every scheme or of one; it touches no other.
struct ForcedKernel {
  std::string kind;
  std::string scheme;  // empty: all
  std::string kernel;
};
// "mlp.experts=moe_nvfp4_bf16_wgmma", "mlp.experts:nvfp4_w4a4=..."
[[nodiscard]] Result<ForcedKernel> parse_forced_kernel(std::string_view text);

// A kernel that may not serve, and why: it computed a wrong answer on this machine.
struct RefusedKernel {
  std::string kernel;
  std::string reason;
};

struct Deployment {
  ActivationRequest activations = ActivationRequest::kCheckpoint;
  Ranks ranks;
  bool batch_invariant = false;
  std::uint32_t max_tokens = 8192;  // of a step
  std::vector<ForcedKernel> forced;
  std::vector<RefusedKernel> refused;
  std::shared_ptr<const MeasuredTable> table;  // by which kernels are chosen; null: as the list has them
};

struct ExpectedTime {
  std::uint32_t num_tokens = 0;
  double us = 0;
  std::string tiling;  // rows x tokens of a block; empty: the kernel has one way
};

// Tokens [first, last] of a step that one kernel serves.
struct KernelRange {
  std::uint32_t first_tokens = 1;
  std::uint32_t last_tokens = 1;
  std::string kernel;
  std::string reason;
  std::size_t workspace_bytes = 0;
  std::vector<ExpectedTime> times;  // of first and last, and of the powers of 2 between; measured ones where there are
};

// A kernel that does not serve tokens [first, last], and why.
struct Rejection {
  std::string kernel;
  std::uint32_t first_tokens = 1;
  std::uint32_t last_tokens = 1;
  std::string reason;
  bool is_of_format = true;  // it is for weights of the layer's format
};

struct PlannedLayer {
  Layer layer;                                 // of the whole model
  std::string projection;                      // on a CPU experts are three layers: "gate_proj"; else empty
  std::string problem;                         // of one rank, as problem_text() has it
  Activation activation = Activation::k16Bit;  // that runs
  std::string activation_reason;
  std::string layout;
  std::uint64_t weight_bytes = 0;   // of one layer of one rank, as prepared
  std::vector<KernelRange> ranges;  // empty: no kernel serves it
  std::vector<Rejection> rejections;
  bool is_forced = false;

  [[nodiscard]] std::string kind() const { return projection.empty() ? layer.kind : layer.kind + "." + projection; }
};

struct Plan {
  Machine machine;
  Deployment deployment;
  std::vector<PlannedLayer> layers;
  std::uint64_t weight_bytes = 0;   // of one rank
  std::size_t workspace_bytes = 0;  // of the layer that needs the most; layers share it

  [[nodiscard]] std::size_t num_unserved() const;  // kinds of layers
  void add_up();                                   // sets both sums
};

// The problem of a line of a processor's plan, as one rank has it.
[[nodiscard]] kernels::LinearProblem linear_problem(const Layer& shard, std::string_view projection);

// The problem of a GPU's plan; `whole`: of all ranks.
[[nodiscard]] kernels::DeviceLinearProblem device_linear_problem(const Layer& shard, const Deployment& deployment);
[[nodiscard]] kernels::MoeProblem device_moe_problem(const Layer& shard, const Layer& whole,
                                                     const Deployment& deployment);

// The kernels that may serve a line, in the order of the list: what there is to measure. None for embeddings, and for
// what no kernel of the machine serves whatever the number of tokens.
[[nodiscard]] Result<std::vector<Candidate>> candidates_of(const Machine& machine, const Deployment& deployment,
                                                           const PlannedLayer& line);

// What is done with a layer's inputs.
[[nodiscard]] Result<checkpoint::ActivationChoice> choose_activation(const Layer& layer, ActivationRequest request);

// Fills in a line of which layer and projection are set.
[[nodiscard]] Status plan_line(const Machine& machine, const Deployment& deployment, PlannedLayer& line);

// A layer that no kernel serves is in the plan. An Error is what cannot be asked for: a forced kernel that does not
// serve, a name that nothing has, a cut that leaves a rank without work.
[[nodiscard]] Result<Plan> make_plan(std::span<const Layer> layers, const Machine& machine,
                                     const Deployment& deployment);

}  // namespace nvfp4::plan
