// A checkpoint of Qwen3-30B-A3B's 18,625 quantised weights and head, with small matrices, is planned in 50 ms: what
// planning costs depends on how many weights there are, not on how large they are.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "plan/inventory.h"
#include "plan/planner.h"
#include "support/checkpoint_builder.h"
#include "support/opened_checkpoint.h"
#include "support/sanitized.h"

namespace nvfp4::plan {
namespace {

constexpr std::uint32_t kLayers = 48;
constexpr std::uint32_t kExperts = 128;
constexpr const char* kConfig =
    R"({"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts_per_tok": 8, "head_dim": 16,
        "quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16,
                                "ignore": ["lm_head", "model.layers.*.mlp.gate"]}})";

void add_plain(support::SafetensorsText& out, const std::string& name, const std::vector<std::uint64_t>& shape) {
  std::size_t count = 1;
  for (const std::uint64_t size : shape) count *= size;
  out.add_values(name, "BF16", shape, std::vector<std::uint16_t>(count));
}

// Of hidden size 32.
support::SafetensorsText tensors() {
  support::SafetensorsText out;
  const auto add = [&](const std::string& module, std::uint64_t rows, std::uint64_t columns) {
    support::add_modelopt_nvfp4(out, module, rows, columns, 0.5F, 0.25F);
  };
  add_plain(out, "model.embed_tokens.weight", {64, 32});
  for (std::uint32_t i = 0; i < kLayers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) {
      add_plain(out, layer + norm + ".weight", {32});
    }
    for (const char* norm : {"q_norm", "k_norm"}) add_plain(out, layer + "self_attn." + norm + ".weight", {16});
    add(layer + "self_attn.q_proj", 64, 32);
    add(layer + "self_attn.k_proj", 16, 32);
    add(layer + "self_attn.v_proj", 16, 32);
    add(layer + "self_attn.o_proj", 32, 64);
    add_plain(out, layer + "mlp.gate.weight", {kExperts, 32});
    for (std::uint32_t e = 0; e < kExperts; ++e) {
      const std::string expert = fmt::format("{}mlp.experts.{}.", layer, e);
      add(expert + "gate_proj", 16, 32);
      add(expert + "up_proj", 16, 32);
      add(expert + "down_proj", 32, 16);
    }
  }
  add_plain(out, "model.norm.weight", {32});
  add_plain(out, "lm_head.weight", {64, 32});
  return out;
}

// Of this thread: what else the machine does does not count.
double processor_ms() {
  std::timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

TEST(PlanningTime, OfA30BCheckpointIsBelow50Ms) {
  const support::OpenedCheckpoint checkpoint(tensors(), kConfig);
  ASSERT_TRUE(checkpoint.ok());
  std::size_t num_weights = 0;
  for (const DescribedTensor& weight : checkpoint->weights()) {
    num_weights += weight.scheme != Scheme::kPlain || weight.name == "lm_head.weight";
  }
  ASSERT_EQ(num_weights, 18625U);
  for (const char* name : {"sm90", "sm120", "cpu-avx512-vbmi"}) {
    const Machine machine = *find_machine(name);
    double best = std::numeric_limits<double>::infinity();
    for (int run = 0; run < 5; ++run) {
      const double began = processor_ms();
      const auto inventory = layers_of(*checkpoint, "dir");
      ASSERT_TRUE(inventory) << inventory.error().to_string();
      const auto plan = make_plan(inventory->layers, machine, {});
      best = std::min(best, processor_ms() - began);
      ASSERT_TRUE(plan) << plan.error().to_string();
      EXPECT_EQ(plan->num_unserved(), 0U);
    }
    RecordProperty(name, fmt::format("{:.1f} ms", best));
    EXPECT_LT(best, support::kIsSanitized ? 5000 : 50) << name;
  }
}

}  // namespace
}  // namespace nvfp4::plan
