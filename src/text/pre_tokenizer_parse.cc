// Reading the "pre_tokenizer" of a tokenizer.json.
#include <fmt/format.h>

#include <array>

#include "base/file.h"
#include "text/pre_tokenizer.h"

namespace nvfp4::text {
namespace {

constexpr std::array kBehaviors = {
    std::pair{std::string_view("Isolated"), SplitBehavior::kIsolated},
    std::pair{std::string_view("Removed"), SplitBehavior::kRemoved},
    std::pair{std::string_view("MergedWithPrevious"), SplitBehavior::kMergedWithPrevious},
    std::pair{std::string_view("MergedWithNext"), SplitBehavior::kMergedWithNext},
    std::pair{std::string_view("Contiguous"), SplitBehavior::kContiguous},
};

constexpr std::string_view kMetaSpace = "\xe2\x96\x81";

Result<SplitBehavior> read_behavior(const JsonField& field) {
  auto name_field = field.at("behavior");
  if (!name_field) return std::move(name_field).error();
  auto name = name_field->string();
  if (!name) return std::move(name).error();
  for (const auto& [known, behavior] : kBehaviors) {
    if (known == *name) return behavior;
  }
  return name_field->unsupported(quote_name(*name),
                                 "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

}  // namespace

Result<PreTokenizer> PreTokenizer::parse(const JsonField* field) {
  PreTokenizer out;
  if (field != nullptr) NVFP4_RETURN_IF_ERROR(out.add(*field));
  out.find_plain_form();
  return out;
}

void PreTokenizer::find_plain_form() {
  if (steps_.empty() || steps_.size() > 2) return;
  const bool prefix = steps_.front().kind == Step::kPrefixSpace;
  const Step& last = steps_.back();
  if (steps_.size() == (prefix ? 2U : 1U) && last.kind == Step::kPattern && last.known &&
      last.behavior == SplitBehavior::kIsolated) {
    plain_ = last.known;
    plain_prefix_ = prefix;
  }
}

Status PreTokenizer::add(const JsonField& field) {
  auto type = field.type();
  if (!type) return std::move(type).error();
  if (byte_level_) {
    return field.unsupported(fmt::format("{} after ByteLevel", quote_name(*type)), "ByteLevel as the last step");
  }
  if (*type == "ByteLevel") return add_byte_level(field);
  if (*type == "Split") return add_split(field);
  if (*type == "Metaspace") return add_metaspace(field);
  if (*type == "Digits") {
    auto individual = field.bool_at("individual_digits", false);
    if (!individual) return std::move(individual).error();
    Step step{.kind = Step::kDigits};
    step.behavior = *individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
    steps_.push_back(std::move(step));
    return {};
  }
  if (*type != "Sequence") {
    return field.unsupported(fmt::format("the pre_tokenizer {}", quote_name(*type)),
                             "ByteLevel, Split, Digits, Metaspace, Sequence");
  }
  auto list_field = field.at("pretokenizers");
  if (!list_field) return std::move(list_field).error();
  auto list = list_field->array();
  if (!list) return std::move(list).error();
  std::size_t i = 0;
  for (const simdjson::dom::element item : *list) NVFP4_RETURN_IF_ERROR(add(list_field->item(item, i++)));
  return {};
}

Status PreTokenizer::add_byte_level(const JsonField& field) {
  auto prefix = field.bool_at("add_prefix_space", true);
  if (!prefix) return std::move(prefix).error();
  auto use_regex = field.bool_at("use_regex", true);
  if (!use_regex) return std::move(use_regex).error();
  if (*prefix) steps_.push_back(Step{.kind = Step::kPrefixSpace});
  if (*use_regex) {
    Step step{.kind = Step::kPattern};
    step.known = KnownPattern::kGpt2;
    steps_.push_back(std::move(step));
  }
  byte_level_ = true;
  return {};
}

Status PreTokenizer::add_split(const JsonField& field) {
  auto pattern = field.at("pattern");
  if (!pattern) return std::move(pattern).error();
  auto behavior = read_behavior(field);
  if (!behavior) return std::move(behavior).error();
  auto invert = field.bool_at("invert", false);
  if (!invert) return std::move(invert).error();
  auto regex = pattern->string_at("Regex", "");
  if (!regex) return std::move(regex).error();
  auto literal = pattern->string_at("String", "");
  if (!literal) return std::move(literal).error();
  if (regex->empty() == literal->empty()) {
    return pattern->error(ErrorCode::kMalformed, "expected one of \"Regex\" and \"String\", and not empty");
  }
  Step step{.kind = Step::kPattern};
  step.behavior = *behavior;
  step.invert = *invert;
  step.literal = std::move(literal).value();
  if (!regex->empty()) {
    step.known = find_known_pattern(*regex);
    if (!step.known) {
      auto compiled = RegexSplitter::compile(*regex, pattern->where);
      if (!compiled) return std::move(compiled).error();
      step.regex = std::move(compiled).value();
    }
  }
  steps_.push_back(std::move(step));
  return {};
}

Status PreTokenizer::add_metaspace(const JsonField& field) {
  auto replacement = field.string_at("replacement", kMetaSpace);
  if (!replacement) return std::move(replacement).error();
  if (*replacement != kMetaSpace) {
    return field.unsupported(fmt::format("the replacement {}", quote_name(*replacement)), "U+2581");
  }
  auto prefix = field.bool_at("add_prefix_space", true);
  if (!prefix) return std::move(prefix).error();
  auto scheme = field.string_at("prepend_scheme", *prefix ? "always" : "never");
  if (!scheme) return std::move(scheme).error();
  if (*scheme != "always" && *scheme != "first" && *scheme != "never") {
    return field.unsupported(fmt::format("the prepend_scheme {}", quote_name(*scheme)), "always, first, never");
  }
  auto split = field.bool_at("split", true);
  if (!split) return std::move(split).error();
  Step step{.kind = Step::kMetaspace};
  step.prepend = *scheme != "never";
  step.only_at_start = *scheme == "first";
  step.behavior = SplitBehavior::kMergedWithNext;
  if (*split) step.literal = kMetaSpace;
  steps_.push_back(std::move(step));
  return {};
}

}  // namespace nvfp4::text
