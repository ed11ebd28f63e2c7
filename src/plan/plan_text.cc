#include "plan/plan_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

namespace nvfp4::plan {
namespace {

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < kUnits.size(); ++unit) bytes /= 1000;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits.at(unit));
}

std::string us_text(double us) { return us < 100 ? fmt::format("{:.1f}", us) : fmt::format("{:.0f}", us); }

std::string range_text(std::uint32_t first, std::uint32_t last) {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

std::string request_text(ActivationRequest request) {
  if (request == ActivationRequest::kW4A16) return "16-bit activations on request";
  if (request == ActivationRequest::kW4A4) return "NVFP4 activations on request";
  return "activations as the checkpoint asks";
}

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the last is as long as it is.
std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.empty() ? 0 : rows[0].size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{}{:<{}}", i == 0 ? "" : "  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string title_line(const Plan& plan, const std::string& title) {
  const Deployment& deployment = plan.deployment;
  std::string text = fmt::format("{} on {}; {}; up to {} tokens a step", title, machine_text(plan.machine),
                                 request_text(deployment.activations), deployment.max_tokens);
  const Ranks& ranks = deployment.ranks;
  if (ranks.tensor_parallel > 1) text += fmt::format("; {} ranks share every weight", ranks.tensor_parallel);
  if (ranks.expert_parallel > 1) text += fmt::format("; {} ranks share the experts", ranks.expert_parallel);
  if (deployment.batch_invariant) text += "; batch-invariant";
  if (deployment.table != nullptr) text += fmt::format("; measured in {}", deployment.table->label);
  return text + "\n";
}

Row first_cells(const PlannedLayer& line) {
  return {line.kind(),
          std::string(layer_scheme(line.layer)),
          fmt::format("{}", line.layer.num_layers),
          line.problem,
          line.layout,
          bytes_text(static_cast<double>(line.weight_bytes))};
}

void add_rows(const PlannedLayer& line, std::vector<Row>& rows) {
  Row cells = first_cells(line);
  if (line.ranges.empty()) {
    cells.insert(cells.end(), {"-", "NONE", "-", "-", "no kernel serves it"});
    rows.push_back(std::move(cells));
    return;
  }
  for (const KernelRange& range : line.ranges) {
    std::string us = "-";
    if (!range.times.empty()) us = us_text(range.times.front().us);
    if (range.times.size() > 1) us += " - " + us_text(range.times.back().us);
    std::string why = range.reason;
    if (!line.activation_reason.empty()) why += "; " + line.activation_reason;
    cells.insert(cells.end(), {range_text(range.first_tokens, range.last_tokens), range.kernel, us,
                               bytes_text(static_cast<double>(range.workspace_bytes)), why});
    rows.push_back(std::move(cells));
    cells = Row(6);
  }
}

// Rejections with the same words, and the layers that they are of; without kernels for other formats of weights.
std::string rejections_text(const Plan& plan) {
  std::vector<std::pair<Row, std::vector<std::string>>> groups;
  for (const PlannedLayer& line : plan.layers) {
    for (const Rejection& rejection : line.rejections) {
      if (!rejection.is_of_format && !line.ranges.empty()) continue;
      Row cells = {rejection.kernel, range_text(rejection.first_tokens, rejection.last_tokens), rejection.reason};
      auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == cells; });
      if (found == groups.end()) found = groups.insert(found, {std::move(cells), {}});
      const std::string kind = line.kind();
      if (std::find(found->second.begin(), found->second.end(), kind) == found->second.end()) {
        found->second.push_back(kind);
      }
    }
  }
  std::vector<Row> rows = {{"not taken", "tokens", "why", "layers"}};
  std::vector<std::string> kernels;
  for (const auto& [cells, kinds] : groups) kernels.push_back(cells[0]);
  std::sort(kernels.begin(), kernels.end());
  kernels.erase(std::unique(kernels.begin(), kernels.end()), kernels.end());
  for (const std::string& kernel : kernels) {
    for (auto& [cells, kinds] : groups) {
      if (cells[0] != kernel) continue;
      rows.push_back(cells);
      rows.back().push_back(fmt::format("{}", fmt::join(kinds, ", ")));
    }
  }
  return rows.size() == 1 ? std::string() : fmt::format("\n{}", table(rows));
}

}  // namespace

std::string layer_line(const PlannedLayer& line) {
  std::string text = fmt::format("{} {}", line.kind(), layer_scheme(line.layer));
  if (line.ranges.empty()) text += " no kernel";
  for (const KernelRange& range : line.ranges) {
    text += fmt::format("{} {} {}", &range == line.ranges.data() ? "" : ",",
                        range_text(range.first_tokens, range.last_tokens), range.kernel);
  }
  return text + fmt::format(" [{}]", line.layout);
}

std::string plan_table(const Plan& plan, const std::string& title) {
  std::vector<Row> rows = {
      {"layer", "scheme", "layers", "problem", "layout", "weights", "tokens", "kernel", "us", "workspace", "why"}};
  for (const PlannedLayer& line : plan.layers) add_rows(line, rows);
  std::string text = title_line(plan, title) + table(rows);
  text += fmt::format("weights {}, workspace {}", bytes_text(static_cast<double>(plan.weight_bytes)),
                      bytes_text(static_cast<double>(plan.workspace_bytes)));
  if (const Gpu* gpu = std::get_if<Gpu>(&plan.machine); gpu != nullptr && gpu->caps.memory_bytes != 0) {
    const std::uint64_t needed = plan.weight_bytes + plan.workspace_bytes;
    text += fmt::format(", of {}{}", bytes_text(static_cast<double>(gpu->caps.memory_bytes)),
                        needed > gpu->caps.memory_bytes ? ": they do not fit" : "");
  }
  return text + "\n";
}

std::string plan_text(const Plan& plan, const std::string& title) {
  return plan_table(plan, title) + rejections_text(plan);
}

}  // namespace nvfp4::plan
