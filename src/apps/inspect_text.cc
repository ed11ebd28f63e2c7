#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <tuple>

#include "apps/command.h"
#include "apps/inspect_report.h"

namespace nvfp4::apps {
namespace {

struct Total {
  std::uint64_t weights = 0;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
};

std::string human_count(std::uint64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.2f} B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f} M", value / 1e6);
  return fmt::format("{}", count);
}

std::string schemes_text(const Checkpoint& checkpoint) {
  std::map<std::string, Total> totals;
  for (const DescribedTensor& weight : checkpoint.weights()) {
    Total& total = totals[std::string(scheme_name(weight))];
    ++total.weights;
    total.parameters += weight.num_elements();
    total.bytes += stored_bytes(weight);
  }
  std::string out = fmt::format("\n{:<14}{:>9}{:>14}{:>12}\n", "scheme", "weights", "parameters", "bytes");
  for (const auto& [scheme, total] : totals) {
    out += fmt::format("{:<14}{:>9}{:>14}{:>12}\n", scheme, total.weights, human_count(total.parameters),
                       human_bytes(static_cast<double>(total.bytes)));
  }
  return out;
}

// One line per kind of layer: the same name but for numbers, the same shape and scheme.
std::string layers_text(const Checkpoint& checkpoint) {
  struct Kind {
    std::string name;
    std::string shape;
    std::string scheme;
    std::string activation;
    auto key() const { return std::tie(name, shape, scheme, activation); }
    bool operator<(const Kind& other) const { return key() < other.key(); }
  };
  std::map<Kind, std::size_t> index;
  std::vector<std::pair<const Kind*, std::uint64_t>> kinds;  // in the order of the files
  std::size_t width = 10;
  for (const DescribedTensor& weight : checkpoint.weights()) {
    Kind kind{printable(fold_numbers(weight.name)), fmt::format("[{}]", fmt::join(weight.shape, ", ")),
              std::string(scheme_name(weight)),
              weight.is_quantized() ? std::string(activation_name(weight.activation)) : ""};
    width = std::max(width, std::min<std::size_t>(kind.name.size(), 80));
    const auto [it, added] = index.emplace(std::move(kind), kinds.size());
    if (added) kinds.emplace_back(&it->first, 0);
    ++kinds[it->second].second;
  }
  std::sort(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) { return *a.first < *b.first; });
  std::string out =
      fmt::format("\n{:<{}}  {:>6}  {:<20} {:<12} {}\n", "layer kind", width, "count", "shape", "scheme", "activation");
  for (const auto& [kind, count] : kinds) {
    out += fmt::format("{:<{}}  {:>6}  {:<20} {:<12} {}", kind->name, width, count, kind->shape, kind->scheme,
                       kind->activation);
    while (out.back() == ' ') out.pop_back();
    out += '\n';
  }
  return out;
}

// Findings of one kind whose message is the same are one line, with a count.
std::string findings_text(const char* title, std::span<const Finding> findings, bool all) {
  constexpr std::size_t kShown = 12;
  if (findings.empty()) return "";
  std::map<std::pair<std::string, std::string>, std::pair<std::size_t, const Finding*>> folded;
  for (const Finding& finding : findings) {
    auto& [count, first] = folded[{all ? finding.name : fold_numbers(finding.name), finding.message}];
    if (count++ == 0) first = &finding;
  }
  std::string out = fmt::format("\n{}: {}\n", title, findings.size());
  std::size_t shown = 0;
  for (const auto& [key, value] : folded) {
    if (!all && shown++ == kShown) {
      out += fmt::format("  and {} more kinds (--all lists them)\n", folded.size() - kShown);
      break;
    }
    const auto& [count, first] = value;
    const std::string name = count == 1 ? first->name : fmt::format("{} (x{})", key.first, count);
    out += fmt::format("  {}: {}\n", printable(name), printable(key.second));
  }
  return out;
}

std::string stored_text(const Checkpoint& checkpoint, const char* role, const StoredTensor* tensor) {
  if (tensor == nullptr) return "";
  return fmt::format("  {:<16}{}  {} [{}]  {} bytes {}..{}\n", role, printable(tensor->name), dtype_name(tensor->dtype),
                     fmt::join(tensor->shape, ", "), checkpoint.files()[tensor->file_idx].path.filename().string(),
                     tensor->begin, tensor->end);
}

}  // namespace

std::string fold_numbers(std::string_view name) {
  std::string out;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    const bool number =
        !part.empty() && std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    if (begin > 0) out += '.';
    out += number ? std::string_view("*") : part;
    begin = end + 1;
  }
  return out;
}

std::string inspect_text(const Checkpoint& checkpoint, const std::filesystem::path& directory, bool all) {
  std::uint64_t num_bytes = 0;
  for (const SourceFile& file : checkpoint.files()) num_bytes += file.num_bytes;
  std::uint64_t num_parameters = 0;
  for (const DescribedTensor& weight : checkpoint.weights()) num_parameters += weight.num_elements();
  std::string out = fmt::format("{:<14}{}\n{:<14}{}\n{:<14}{}\n", "checkpoint", directory.string(), "producer",
                                printable(checkpoint.producer()), "architecture", printable(checkpoint.architecture()));
  out += fmt::format("{:<14}{} in {} file{}\n", "size", human_bytes(static_cast<double>(num_bytes)),
                     checkpoint.files().size(), checkpoint.files().size() == 1 ? "" : "s");
  out += fmt::format("{:<14}{}\n", "parameters", human_count(num_parameters));
  const std::string kv = checkpoint.kv_cache_scheme().empty() ? "not quantised" : checkpoint.kv_cache_scheme();
  out += fmt::format("{:<14}{} ({} scales)\n", "kv cache", printable(kv), checkpoint.kv_scales().size());
  out += schemes_text(checkpoint) + layers_text(checkpoint);
  out += findings_text("conflicts", checkpoint.conflicts(), all);
  out += findings_text("repairs", checkpoint.repairs(), all);
  out += findings_text("ignored", checkpoint.ignored(), all);
  return out;
}

Result<std::string> weight_text(const Checkpoint& checkpoint, const DescribedTensor& weight) {
  std::string out = fmt::format("{}\n  {:<16}[{}]\n  {:<16}{}\n", printable(weight.name), "shape",
                                fmt::join(weight.shape, ", "), "scheme", scheme_name(weight));
  if (weight.is_quantized()) {
    const char* evidence_before = weight.activation_evidence.empty() ? "" : ": ";
    out += fmt::format("  {:<16}{}{}{}\n", "activation", activation_name(weight.activation), evidence_before,
                       printable(weight.activation_evidence));
    if (weight.block_size != 0) out += fmt::format("  {:<16}{}\n", "block size", weight.block_size);
    if (weight.transposed)
      out += fmt::format("  {:<16}yes, codes are packed along the second dimension\n", "transposed");
    out += fmt::format("  {:<16}{} of {} rows\n", "shards", weight.num_shards(), fmt::join(weight.shard_rows, ", "));
    if (!weight.scale2.empty()) out += fmt::format("  {:<16}{}\n", "scale2", fmt::join(weight.scale2, ", "));
    if (!weight.input_scale.empty())
      out += fmt::format("  {:<16}{}\n", "input scale", fmt::join(weight.input_scale, ", "));
  }
  out += stored_text(checkpoint, "data", weight.data) + stored_text(checkpoint, "block scales", weight.block_scales) +
         stored_text(checkpoint, "row scales", weight.row_scales) +
         stored_text(checkpoint, "scale2 tensor", weight.scale2_tensor) +
         stored_text(checkpoint, "input tensor", weight.input_scale_tensor) +
         stored_text(checkpoint, "pre-quant scale", weight.pre_quant_scale);
  if (weight.num_elements() == 0) return out;
  std::vector<float> row(weight.in_features());
  NVFP4_RETURN_IF_ERROR(checkpoint.dequantize_rows(weight, 0, 1, row));
  row.resize(std::min<std::size_t>(row.size(), 8));
  out += fmt::format("  {:<16}{}{}\n", "first values", fmt::join(row, ", "), weight.in_features() > 8 ? ", ..." : "");
  return out;
}

}  // namespace nvfp4::apps
