// Which experts tokens go to, where they are given and no router chooses them.
#pragma once

#include <cstdint>
#include <vector>

namespace nvfp4::prepare {

struct RandomRouting {
  std::vector<std::int32_t> expert_ids;  // [tokens, top_k], different ones, each set as likely as any other
  std::vector<float> weights;            // [tokens, top_k], softmax of random numbers
  std::uint32_t num_distinct = 0;        // experts that any token goes to
};

// `key` decides everything; a token's experts and weights do not depend on how many tokens follow.
[[nodiscard]] RandomRouting random_routing(std::uint32_t num_tokens, std::uint32_t num_experts, std::uint32_t top_k,
                                           std::uint64_t key);

}  // namespace nvfp4::prepare
