// The plan of one kind of layer.
#pragma once

#include <string>
#include <string_view>

#include "plan/planner.h"

namespace nvfp4::plan {

// Fills in all but layer, projection and is_forced. kernel: the one that is forced, or empty. `where` begins errors.
[[nodiscard]] Status plan_layer(const Machine& machine, const Deployment& deployment, std::string_view kernel,
                                const std::string& where, PlannedLayer& line);

// Parts of it, for each kind of machine. `shard` is what a rank has, with the activation that runs.
[[nodiscard]] Status plan_on_cpu(const Cpu& cpu, const Deployment& deployment, const Layer& shard,
                                 std::string_view kernel, const std::string& where, PlannedLayer& line);
[[nodiscard]] Status plan_on_gpu(const Gpu& gpu, const Deployment& deployment, const Layer& shard,
                                 std::string_view kernel, const std::string& where, PlannedLayer& line);

// As candidates_of(); `shard` as above, `whole` of all ranks.
[[nodiscard]] std::vector<Candidate> cpu_candidates(const Cpu& cpu, const Deployment& deployment, const Layer& shard,
                                                    std::string_view projection);
[[nodiscard]] std::vector<Candidate> gpu_candidates(const Gpu& gpu, const Deployment& deployment, const Layer& shard,
                                                    const Layer& whole);

// Another kernel of tokens [first, last], and why it is not taken. The same words of neighbouring tokens are one.
void add_rejection(PlannedLayer& line, std::string_view kernel, std::uint32_t first, std::uint32_t last,
                   std::string reason);

// first and last, and the powers of 2 between.
[[nodiscard]] std::vector<std::uint32_t> sampled_tokens(std::uint32_t first, std::uint32_t last);

}  // namespace nvfp4::plan
