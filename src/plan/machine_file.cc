#include "plan/machine_file.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "base/nearest_name.h"
#include "checkpoint/config_document.h"

namespace nvfp4::plan {
namespace {

using checkpoint::JsonField;
using checkpoint::JsonObject;

// A key of the file and the place that it fills.
struct Member {
  std::string_view key;
  std::variant<std::string*, std::uint32_t*, std::uint64_t*, double*> target;
};

std::vector<Member> members_of(Gpu& gpu) {
  DeviceCaps& caps = gpu.caps;
  DeviceRates& rates = gpu.rates;
  return {{"name", &caps.name},
          {"sm", &caps.sm},
          {"num_sms", &caps.num_sms},
          {"num_threads_per_sm", &caps.num_threads_per_sm},
          {"num_registers_per_sm", &caps.num_registers_per_sm},
          {"shared_bytes_per_sm", &caps.shared_bytes_per_sm},
          {"shared_bytes_per_block", &caps.shared_bytes_per_block},
          {"reserved_shared_bytes", &caps.reserved_shared_bytes},
          {"l2_bytes", &caps.l2_bytes},
          {"memory_bytes", &caps.memory_bytes},
          {"memory_gb_per_s", &rates.memory_gb_per_s},
          {"bf16_tflops", &rates.bf16_tflops},
          {"fp8_tflops", &rates.fp8_tflops},
          {"fp4_tflops", &rates.fp4_tflops}};
}
std::vector<Member> members_of(Cpu& cpu) {
  return {{"name", &cpu.name},
          {"num_workers", &cpu.num_workers},
          {"memory_gb_per_s", &cpu.memory_gb_per_s},
          {"f32_gflops", &cpu.f32_gflops}};
}

Status fill(const JsonField& field, std::string* target) {
  auto text = checkpoint::as_string(field);
  NVFP4_RETURN_IF_ERROR(text);
  *target = *text;
  return {};
}
template <class Integer>
Status fill(const JsonField& field, Integer* target) {
  auto value = checkpoint::as_uint(field, 0, std::numeric_limits<Integer>::max() / 2);
  NVFP4_RETURN_IF_ERROR(value);
  *target = static_cast<Integer>(*value);
  return {};
}
Status fill(const JsonField& field, double* target) {
  double value = 0;
  std::int64_t integer = 0;
  if (field.element.get(value) != simdjson::SUCCESS && field.element.get(integer) == simdjson::SUCCESS) {
    value = static_cast<double>(integer);
  }
  if (!std::isfinite(value) || value < 0) {
    return Error{ErrorCode::kMalformed, field.where, "must be a number from 0 on"};
  }
  *target = value;
  return {};
}

// Every key of the object goes to a member; `skipped` was read before.
Status fill(JsonObject object, const std::string& label, const std::vector<Member>& members, std::string_view skipped) {
  std::vector<std::string_view> names;
  for (const Member& member : members) names.push_back(member.key);
  for (const auto& [key, element] : object) {
    if (key == skipped) continue;
    const JsonField field{element, fmt::format("{}: {}", label, key)};
    const Member* found = nullptr;
    for (const Member& member : members) {
      if (member.key == key) found = &member;
    }
    if (found == nullptr) {
      return Error{ErrorCode::kMalformed, field.where,
                   fmt::format("is no key of a machine; {}", suggestion(key, names))};
    }
    NVFP4_RETURN_IF_ERROR(std::visit([&](auto* target) { return fill(field, target); }, found->target));
  }
  return {};
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

// What a GPU cannot do without, and what must hold of it.
Status check(const Gpu& gpu, const std::string& label) {
  const DeviceCaps& caps = gpu.caps;
  const auto bad = [&](std::string_view key, std::string_view why) {
    return Error{ErrorCode::kContradiction, fmt::format("{}: {}", label, key), std::string(why)};
  };
  if (caps.sm == 0) return bad("sm", "is missing; it is the compute capability, 90 for 9.0");
  constexpr std::uint32_t kMaxSms = 4096;  // kernels count blocks with 32 bits
  constexpr std::uint64_t kMaxSharedBytes = 1U << 24U;
  if (caps.num_sms == 0) return bad("num_sms", "must be above zero");
  if (caps.num_sms > kMaxSms) return bad("num_sms", "is more than 4096");
  if (caps.shared_bytes_per_sm > kMaxSharedBytes) return bad("shared_bytes_per_sm", "is more than 16 MiB");
  if (caps.shared_bytes_per_block == 0) return bad("shared_bytes_per_block", "must be above zero");
  if (caps.shared_bytes_per_block > caps.shared_bytes_per_sm) {
    return bad("shared_bytes_per_block", "is more than a multiprocessor has");
  }
  if (gpu.rates.memory_gb_per_s == 0) return bad("memory_gb_per_s", "must be above zero");
  if (gpu.rates.bf16_tflops == 0) return bad("bf16_tflops", "must be above zero");
  return {};
}

Result<Machine> parse_cpu(JsonObject object, const std::string& label, const JsonField& set_field) {
  auto name = checkpoint::as_string(set_field);
  NVFP4_RETURN_IF_ERROR(name);
  const auto set = parse_instruction_set(*name);
  if (!set) {
    std::vector<std::string_view> known;
    for (const InstructionSet each : kInstructionSets) known.push_back(instruction_set_name(each));
    return Error{ErrorCode::kMalformed, set_field.where,
                 fmt::format("\"{}\" is no instruction set; {}", *name, suggestion(*name, known))};
  }
  Cpu cpu = cpu_of("processor", *set, 1);
  NVFP4_RETURN_IF_ERROR(fill(object, label, members_of(cpu), "instruction_set"));
  if (cpu.num_workers == 0) {
    return Error{ErrorCode::kContradiction, label + ": num_workers", "must be above zero"};
  }
  return Machine(std::move(cpu));
}

}  // namespace

Result<Machine> parse_machine(std::string_view json, const std::string& label) {
  auto document = checkpoint::ConfigDocument::parse(json, label);
  NVFP4_RETURN_IF_ERROR(document);
  const JsonObject root = document->root();
  if (const auto set = checkpoint::find_field(root, label, "instruction_set")) return parse_cpu(root, label, *set);
  Gpu gpu;
  if (const auto sm = checkpoint::find_field(root, label, "sm")) {
    auto number = checkpoint::as_uint(*sm, 10, 999);
    NVFP4_RETURN_IF_ERROR(number);
    if (const KnownDevice* known = find_known_device(fmt::format("sm{}", *number))) gpu = {known->caps, known->rates};
  }
  NVFP4_RETURN_IF_ERROR(fill(root, label, members_of(gpu), ""));
  NVFP4_RETURN_IF_ERROR(check(gpu, label));
  return Machine(std::move(gpu));
}

std::string machine_json(const Machine& machine) {
  Machine copy = machine;
  const std::vector<Member> members = std::visit([](auto& kind) { return members_of(kind); }, copy);
  std::string out = "{";
  if (const Cpu* cpu = std::get_if<Cpu>(&machine)) {
    out += fmt::format("\"instruction_set\": \"{}\", ", instruction_set_name(cpu->instruction_set));
  }
  for (const Member& member : members) {
    out += fmt::format("{}\"{}\": ", &member == members.data() ? "" : ", ", member.key);
    if (const auto* text = std::get_if<std::string*>(&member.target)) {
      out += json_string(**text);
    } else {
      std::visit(
          [&](auto* target) {
            if constexpr (!std::is_same_v<decltype(target), std::string*>) out += fmt::format("{}", *target);
          },
          member.target);
    }
  }
  return out + "}";
}

}  // namespace nvfp4::plan
