#include "apps/bench_problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>
#include <vector>

#include "formats/nvfp4_block.h"

namespace nvfp4::apps {
namespace {

using kernels::WeightFormat;
using Operation = BenchProblem::Operation;

constexpr std::uint64_t kMaxFeatures = 1 << 24;
constexpr std::uint64_t kMaxExperts = 4096;
constexpr std::uint64_t kMaxTokens = 65536;
constexpr const char* kLinearExample = "linear/w4a16/n4096/k2048/t1";
constexpr const char* kMoeExample = "moe/w4a4/silu/h2048/i768/e128/k8/t512";

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};
constexpr std::array<Named<Operation>, 2> kOperations = {{{"linear", Operation::kLinear}, {"moe", Operation::kMoe}}};
constexpr std::array<Named<BenchScheme>, 7> kSchemes = {{{"w4a16", BenchScheme::kW4A16},
                                                         {"w4a4", BenchScheme::kW4A4},
                                                         {"bf16", BenchScheme::kBF16},
                                                         {"fp8", BenchScheme::kFp8},
                                                         {"w8a8", BenchScheme::kW8A8},
                                                         {"f16", BenchScheme::kF16},
                                                         {"f32", BenchScheme::kF32}}};
constexpr std::size_t kNumMoeSchemes = 3;
constexpr std::array<Named<ExpertActivation>, 4> kExpertActivations = {{{"silu", ExpertActivation::kSilu},
                                                                        {"relu2", ExpertActivation::kRelu2},
                                                                        {"gelu_tanh", ExpertActivation::kGeluTanh},
                                                                        {"swigluoai", ExpertActivation::kSwigluOai}}};

template <class Value>
std::string_view name_of(std::span<const Named<Value>> table, Value value) {
  return std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.value == value; })->name;
}

// Takes part after part; the first thing that is wrong stays.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    for (std::size_t begin = 0;;) {
      const std::size_t end = text.find('/', begin);
      parts_.push_back(text.substr(begin, end - begin));
      if (end == std::string_view::npos) break;
      begin = end + 1;
    }
  }

  template <class Value>
  Value choice(const char* what, std::span<const Named<Value>> table) {
    const std::string_view part = next(what);
    std::string known;
    for (const Named<Value>& entry : table) {
      if (part == entry.name) return entry.value;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
    }
    fail(fmt::format("\"{}\" is no {}; there are {}", part, what, known));
    return table.front().value;
  }

  // A letter and a number from 1 to max, a multiple of `step`.
  std::uint64_t number(char letter, const char* what, std::uint64_t max, std::uint64_t step = 1) {
    const std::string_view part = next(what);
    std::uint64_t value = 0;
    const char* const end = part.data() + part.size();
    const bool has_letter = part.starts_with(letter);
    const auto [stop, error] = std::from_chars(part.data() + (has_letter ? 1 : 0), end, value);
    if (!has_letter || error != std::errc() || stop != end || value < 1 || value > max) {
      fail(fmt::format("\"{}\" is no {}; write {} and a number from 1 to {}", part, what, letter, max));
    } else if (value % step != 0) {
      fail(fmt::format("\"{}\" is no multiple of {}, the block of NVFP4", part, step));
    }
    return value;
  }

  void set_example(const char* example) { example_ = example; }
  void fail(const std::string& message) {
    if (error_.empty()) error_ = message;
  }
  [[nodiscard]] Status finish() {
    if (next_ < parts_.size()) fail(fmt::format("\"{}\" is one part too many", parts_[next_]));
    if (error_.empty()) return {};
    return Error{ErrorCode::kInvalidArgument, fmt::format("nvfp4 bench: problem \"{}\"", text_),
                 fmt::format("{}; an example is {}", error_, example_)};
  }

 private:
  std::string_view next(const char* what) {
    if (next_ < parts_.size()) return parts_[next_++];
    fail(fmt::format("ends before the {}", what));
    return {};
  }

  std::string_view text_;
  std::vector<std::string_view> parts_;
  std::size_t next_ = 0;
  const char* example_ = kLinearExample;
  std::string error_;
};

std::uint64_t block_of(BenchScheme scheme) {
  return weight_format(scheme) == WeightFormat::kNvfp4 ? kNvfp4BlockSize : 1;
}

double bytes_of(BenchScheme scheme, double num_weights) {
  const WeightFormat format = weight_format(scheme);
  const double scale_bits = format == WeightFormat::kNvfp4 ? 8.0 / static_cast<double>(kNvfp4BlockSize) : 0;
  return num_weights * (static_cast<double>(kernels::bits_per_weight(format)) + scale_bits) / 8;
}

}  // namespace

WeightFormat weight_format(BenchScheme scheme) {
  switch (scheme) {
    case BenchScheme::kW4A16:
    case BenchScheme::kW4A4:
      return WeightFormat::kNvfp4;
    case BenchScheme::kFp8:
    case BenchScheme::kW8A8:
      return WeightFormat::kFp8;
    case BenchScheme::kF16:
      return WeightFormat::kF16;
    case BenchScheme::kF32:
      return WeightFormat::kF32;
    case BenchScheme::kBF16:
      break;
  }
  return WeightFormat::kBF16;
}

Activation activation(BenchScheme scheme) {
  if (scheme == BenchScheme::kW4A4) return Activation::kNvfp4Static;
  return scheme == BenchScheme::kW8A8 ? Activation::kFp8Dynamic : Activation::k16Bit;
}

std::string BenchProblem::to_string() const {
  const std::string_view scheme_name = name_of<BenchScheme>(kSchemes, scheme);
  if (!is_moe()) return fmt::format("linear/{}/n{}/k{}/t{}", scheme_name, out_features, in_features, num_tokens);
  return fmt::format("moe/{}/{}/h{}/i{}/e{}/k{}/t{}", scheme_name,
                     name_of<ExpertActivation>(kExpertActivations, expert_activation), hidden_size, intermediate_size,
                     num_experts, top_k, num_tokens);
}

double BenchProblem::bytes_read(double num_distinct_experts) const {
  if (!is_moe()) return bytes_of(scheme, static_cast<double>(out_features) * static_cast<double>(in_features));
  const double router = bytes_of(BenchScheme::kBF16, static_cast<double>(hidden_size) * num_experts);
  const double projection = static_cast<double>(hidden_size) * static_cast<double>(intermediate_size);
  return router + num_distinct_experts * num_projections() * bytes_of(scheme, projection);
}

double BenchProblem::operations() const {
  if (!is_moe()) return 2.0 * static_cast<double>(out_features) * static_cast<double>(in_features) * num_tokens;
  return 2.0 * static_cast<double>(hidden_size) * static_cast<double>(intermediate_size) * num_projections() *
         num_tokens * top_k * num_experts / num_ids();
}

Result<BenchProblem> parse_bench_problem(std::string_view text) {
  Parser parser(text);
  BenchProblem problem;
  problem.operation = parser.choice<Operation>("operation", kOperations);
  if (!problem.is_moe()) {
    problem.scheme = parser.choice<BenchScheme>("scheme", kSchemes);
    problem.out_features = parser.number('n', "number of outputs", kMaxFeatures);
    problem.in_features = parser.number('k', "number of inputs", kMaxFeatures, block_of(problem.scheme));
  } else {
    parser.set_example(kMoeExample);
    problem.scheme = parser.choice<BenchScheme>("scheme of experts", std::span(kSchemes).first(kNumMoeSchemes));
    problem.expert_activation = parser.choice<ExpertActivation>("activation", kExpertActivations);
    const std::uint64_t block = block_of(problem.scheme);
    problem.hidden_size = parser.number('h', "hidden size", kMaxFeatures, block);
    problem.intermediate_size = parser.number('i', "intermediate size", kMaxFeatures, block);
    problem.num_experts = static_cast<std::uint32_t>(parser.number('e', "number of experts", kMaxExperts));
    problem.top_k = static_cast<std::uint32_t>(parser.number('k', "number of chosen experts", kMaxExperts));
    if (problem.top_k > problem.num_experts) {
      parser.fail(fmt::format("\"k{}\" is more than the {} experts", problem.top_k, problem.num_experts));
    }
  }
  problem.num_tokens = static_cast<std::uint32_t>(parser.number('t', "number of tokens", kMaxTokens));
  NVFP4_RETURN_IF_ERROR(parser.finish());
  return problem;
}

}  // namespace nvfp4::apps
