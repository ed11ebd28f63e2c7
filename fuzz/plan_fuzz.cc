// Lists of layers, descriptions of machines, tables: any text is an Error or a plan, for any machine and number of
// ranks.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "plan/inventory.h"
#include "plan/machine_file.h"
#include "plan/plan_text.h"
#include "plan/planner.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nvfp4::plan;  // NOLINT(google-build-using-namespace)
  constexpr std::size_t kMaxLayers = 8;
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  auto machine = parse_machine(text, "machine.json");
  auto inventory = parse_layers(text, "layers");
  auto table = parse_measured_table(text, "table.json");
  if (table) {
    static_cast<void>(check_measured_table(*table, table->machine, table->build));
    static_cast<void>(parse_measured_table(measured_table_json(*table), "again.json"));
    machine = table->machine;
  }
  if (machine) {
    static_cast<void>(parse_machine(machine_json(*machine), "again.json"));
    inventory =
        parse_layers("1 a linear/w4a16/n256/k2048\n1 e moe/w4a4/silu/h256/i64/e8/k2\n1 b linear/bf16/n64/k64", "l");
  }
  if (!inventory) return 0;
  if (inventory->layers.size() > kMaxLayers) inventory->layers.resize(kMaxLayers);
  if (!machine) {
    constexpr std::string_view kNames[] = {"sm80", "sm90", "sm120", "cpu-avx512-vbmi"};
    machine = find_machine(kNames[data[0] % 4]);
  }
  Deployment deployment;
  deployment.ranks = {1U + data[1] % 8, 1U + data[1] / 8 % 4};
  deployment.max_tokens = 1U << (data[1] / 32);
  deployment.batch_invariant = data[0] >= 128;
  if (table) deployment.table = std::make_shared<MeasuredTable>(std::move(table).value());
  const auto plan = make_plan(inventory->layers, *machine, deployment);
  if (plan) static_cast<void>(plan_text(*plan, "fuzz"));
  return 0;
}
