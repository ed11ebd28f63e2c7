#include "plan/measured_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/nearest_name.h"
#include "checkpoint/config_document.h"
#include "kernels/catalogue/device_offers.h"
#include "kernels/catalogue/linear_catalogue.h"
#include "plan/machine_file.h"

namespace nvfp4::plan {
namespace {

using checkpoint::as_array;
using checkpoint::as_object;
using checkpoint::as_string;
using checkpoint::as_uint;
using checkpoint::find_field;
using checkpoint::JsonField;
using checkpoint::JsonObject;

constexpr std::uint64_t kFormat = 1;  // of the file
constexpr std::uint32_t kMaxTokens = 1U << 20U;
constexpr std::uint32_t kMaxVersion = 1U << 20U;

Error bad(const std::string& where, std::string message) {
  return Error{ErrorCode::kMalformed, where, std::move(message)};
}

Result<JsonField> required(JsonObject object, const std::string& where, std::string_view key) {
  auto field = find_field(object, where, key);
  if (field) return *field;
  return bad(fmt::format("{}: {}", where, key), "is missing; nvfp4 tune writes whole tables");
}

// No key but these.
Status check_keys(JsonObject object, const std::string& where, std::initializer_list<std::string_view> known) {
  for (const auto& [key, element] : object) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::vector<std::string_view> names(known);
    return bad(fmt::format("{}: {}", where, key), fmt::format("is no key of a table; {}", suggestion(key, names)));
  }
  return {};
}

class TableReader {
 public:
  TableReader(JsonObject root, std::string label) : root_(root), label_(std::move(label)) { table_.label = label_; }

  Result<MeasuredTable> read() {
    const auto format = required(root_, label_, "table");
    NVFP4_RETURN_IF_ERROR(format);
    const auto version = as_uint(*format, 0, kMaxVersion);
    NVFP4_RETURN_IF_ERROR(version);
    if (*version != kFormat) {
      return Error{ErrorCode::kUnsupported, format->where,
                   fmt::format("is {}; this program reads {}; nvfp4 tune measures anew", *version, kFormat)};
    }
    NVFP4_RETURN_IF_ERROR(check_keys(root_, label_, {"table", "build", "machine", "kernels", "problems"}));
    const auto build_field = required(root_, label_, "build");
    NVFP4_RETURN_IF_ERROR(build_field);
    const auto build = as_string(*build_field);
    NVFP4_RETURN_IF_ERROR(build);
    table_.build = *build;
    NVFP4_RETURN_IF_ERROR(read_machine());
    NVFP4_RETURN_IF_ERROR(read_kernels());
    NVFP4_RETURN_IF_ERROR(read_problems());
    return std::move(table_);
  }

 private:
  Status read_machine() {
    const auto field = required(root_, label_, "machine");
    NVFP4_RETURN_IF_ERROR(field);
    NVFP4_RETURN_IF_ERROR(as_object(*field));
    auto machine = parse_machine(simdjson::minify(field->element), field->where);
    NVFP4_RETURN_IF_ERROR(machine);
    table_.machine = std::move(machine).value();
    return {};
  }

  Status read_kernels() {
    const auto field = required(root_, label_, "kernels");
    NVFP4_RETURN_IF_ERROR(field);
    const auto kernels = as_object(*field);
    NVFP4_RETURN_IF_ERROR(kernels);
    for (const auto& [name, element] : *kernels) {
      const auto version = as_uint({element, fmt::format("{}: {}", field->where, name)}, 1, kMaxVersion);
      NVFP4_RETURN_IF_ERROR(version);
      table_.kernels.push_back({std::string(name), static_cast<std::uint32_t>(*version)});
    }
    return {};
  }

  Status read_problems() {
    const auto field = required(root_, label_, "problems");
    NVFP4_RETURN_IF_ERROR(field);
    const auto problems = as_array(*field);
    NVFP4_RETURN_IF_ERROR(problems);
    std::size_t problem_idx = 0;
    for (const auto& element : *problems) {
      const std::string where = fmt::format("{}[{}]", field->where, problem_idx++);
      const auto object = as_object({element, where});
      NVFP4_RETURN_IF_ERROR(object);
      NVFP4_RETURN_IF_ERROR(read_problem(*object, where));
    }
    return {};
  }

  Status read_problem(JsonObject object, const std::string& where) {
    NVFP4_RETURN_IF_ERROR(check_keys(object, where, {"problem", "tokens"}));
    const auto name_field = required(object, where, "problem");
    NVFP4_RETURN_IF_ERROR(name_field);
    const auto name = as_string(*name_field);
    NVFP4_RETURN_IF_ERROR(name);
    if (table_.find(*name) != nullptr) return bad(name_field->where, fmt::format("\"{}\" comes twice", *name));
    MeasuredProblem problem{*name, {}};
    const auto field = required(object, where, "tokens");
    NVFP4_RETURN_IF_ERROR(field);
    const auto list = as_array(*field);
    NVFP4_RETURN_IF_ERROR(list);
    std::size_t idx = 0;
    for (const auto& element : *list) {
      const std::string place = fmt::format("{}[{}]", field->where, idx++);
      const auto entry = as_object({element, place});
      NVFP4_RETURN_IF_ERROR(entry);
      NVFP4_RETURN_IF_ERROR(read_tokens(*entry, place, problem));
    }
    if (problem.tokens.empty()) return bad(field->where, "is empty");
    table_.problems.push_back(std::move(problem));
    return {};
  }

  Status read_tokens(JsonObject object, const std::string& where, MeasuredProblem& problem) const {
    NVFP4_RETURN_IF_ERROR(check_keys(object, where, {"num_tokens", "us"}));
    const auto count_field = required(object, where, "num_tokens");
    NVFP4_RETURN_IF_ERROR(count_field);
    const auto count = as_uint(*count_field, 1, kMaxTokens);
    NVFP4_RETURN_IF_ERROR(count);
    if (!problem.tokens.empty() && problem.tokens.back().num_tokens >= *count) {
      return bad(count_field->where,
                 fmt::format("is {} after {}; numbers of tokens must rise", *count, problem.tokens.back().num_tokens));
    }
    MeasuredTokens tokens{static_cast<std::uint32_t>(*count), {}};
    const auto field = required(object, where, "us");
    NVFP4_RETURN_IF_ERROR(field);
    const auto times = as_object(*field);
    NVFP4_RETURN_IF_ERROR(times);
    for (const auto& [kernel, element] : *times) {
      const std::string place = fmt::format("{}: {}", field->where, kernel);
      const auto is_it = [&](const KernelVersion& known) { return known.kernel == kernel; };
      if (std::none_of(table_.kernels.begin(), table_.kernels.end(), is_it)) {
        return bad(place, "is not among the kernels of the table");
      }
      double us = 0;
      if (element.get(us) != simdjson::SUCCESS || !std::isfinite(us) || us <= 0) {
        return bad(place, "must be a number of microseconds above 0");
      }
      tokens.kernels.push_back({std::string(kernel), us});
    }
    problem.tokens.push_back(std::move(tokens));
    return {};
  }

  JsonObject root_;
  std::string label_;
  MeasuredTable table_;
};

template <class Offer>
std::uint32_t version_of(std::span<const Offer> offers, std::string_view kernel) {
  for (const Offer& offer : offers) {
    if (offer.name == kernel) return offer.version;
  }
  return 0;
}

}  // namespace

const MeasuredProblem* MeasuredTable::find(std::string_view problem) const {
  const auto found =
      std::find_if(problems.begin(), problems.end(), [&](const auto& known) { return known.problem == problem; });
  return found == problems.end() ? nullptr : &*found;
}

std::string measured_problem(const Layer& shard, const Layer& whole, std::string_view projection) {
  Layer layer = shard;
  layer.is_tied = false;
  std::string name = problem_text(layer);
  if (whole.num_experts != shard.num_experts) name += fmt::format(" of {} experts", whole.num_experts);
  if (projection.empty()) return name;
  return fmt::format("{} {}", name, projection == "gate_proj" ? "up_proj" : projection);
}

Result<MeasuredTable> parse_measured_table(std::string_view json, const std::string& label) {
  auto document = checkpoint::ConfigDocument::parse(json, label);
  NVFP4_RETURN_IF_ERROR(document);
  return TableReader(document->root(), label).read();
}

std::string measured_table_json(const MeasuredTable& table) {
  std::string out = fmt::format("{{\n  \"table\": {},\n  \"build\": \"{}\",\n  \"machine\": {},\n  \"kernels\": {{",
                                kFormat, table.build, machine_json(table.machine));
  for (const KernelVersion& known : table.kernels) {
    out += fmt::format("{}\n    \"{}\": {}", &known == table.kernels.data() ? "" : ",", known.kernel, known.version);
  }
  out += "\n  },\n  \"problems\": [";
  for (const MeasuredProblem& problem : table.problems) {
    out += fmt::format("{}\n    {{\"problem\": \"{}\", \"tokens\": [", &problem == table.problems.data() ? "" : ",",
                       problem.problem);
    for (const MeasuredTokens& tokens : problem.tokens) {
      out += fmt::format("{}\n      {{\"num_tokens\": {}, \"us\": {{", &tokens == problem.tokens.data() ? "" : ",",
                         tokens.num_tokens);
      for (const Measurement& measured : tokens.kernels) {
        out += fmt::format("{}\"{}\": {:.6g}", &measured == tokens.kernels.data() ? "" : ", ", measured.kernel,
                           measured.us);
      }
      out += "}}";
    }
    out += "]}";
  }
  return out + "\n  ]\n}\n";
}

Status check_measured_table(const MeasuredTable& table, const Machine& machine, std::string_view build) {
  const auto other = [&](const std::string& message) {
    return Error{ErrorCode::kContradiction, table.label, message + "; nvfp4 tune measures anew"};
  };
  if (machine_json(table.machine) != machine_json(machine)) {
    const bool same_name = machine_text(table.machine) == machine_text(machine);
    return other(fmt::format("was measured on {}, this is {}{}", machine_text(table.machine),
                             same_name ? "another " : "", machine_text(machine)));
  }
  if (table.build != build) return other(fmt::format("was measured by build {}, this is {}", table.build, build));
  for (const KernelVersion& known : table.kernels) {
    const std::uint32_t version = kernel_version(known.kernel);
    if (version == known.version) continue;
    return other(version == 0 ? fmt::format("has kernel {}, which this build has not", known.kernel)
                              : fmt::format("has version {} of kernel {}, this build has version {}", known.version,
                                            known.kernel, version));
  }
  return {};
}

std::uint32_t kernel_version(std::string_view kernel) {
  if (const kernels::LinearKernel* found = kernels::find_linear_kernel(kernel)) return found->version;
  if (const std::uint32_t version = version_of(kernels::device_linear_offers(), kernel)) return version;
  return version_of(kernels::device_moe_offers(), kernel);
}

}  // namespace nvfp4::plan
