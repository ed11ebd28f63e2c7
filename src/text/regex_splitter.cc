#include "text/regex_splitter.h"

#include <fmt/format.h>

#include <array>

#include "base/file.h"
#include "text/code_points.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace nvfp4::text {
namespace {

constexpr std::size_t kMaxRegexBytes = 1 << 16;
constexpr std::uint32_t kMatchLimit = 20'000'000;  // backtracking steps of one match
constexpr std::uint32_t kDepthLimit = 1'000'000;
constexpr std::uint32_t kHeapLimitKib = 256 << 10;
constexpr std::size_t kMaxJitStackBytes = 1 << 20;

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

std::string pcre2_error_text(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct RegexSplitter::Code {
  std::unique_ptr<pcre2_code, Free> code;
  std::string where;
};

Result<RegexSplitter> RegexSplitter::compile(std::string_view regex, std::string_view where) {
  if (regex.size() > kMaxRegexBytes) {
    return Error{ErrorCode::kUnsupported, std::string(where),
                 fmt::format("the regular expression has {} bytes; {} are supported", regex.size(), kMaxRegexBytes)};
  }
  auto rewritten = to_pcre2_syntax(regex, where);
  if (!rewritten) return std::move(rewritten).error();
  const std::unique_ptr<pcre2_compile_context, Free> context(pcre2_compile_context_create(nullptr));
  pcre2_set_parens_nest_limit(context.get(), 64);
  int code = 0;
  std::size_t offset = 0;
  auto out = std::make_shared<Code>();
  out->where = where;
  constexpr std::uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  out->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rewritten->data()), rewritten->size(), kOptions, &code,
                                &offset, context.get()));
  if (out->code == nullptr) {
    return Error{
        ErrorCode::kMalformed, std::string(where),
        fmt::format("the regular expression {} does not compile: {}", quote_name(regex), pcre2_error_text(code))};
  }
  pcre2_jit_compile(out->code.get(), PCRE2_JIT_COMPLETE);  // without it the interpreter runs
  return RegexSplitter(std::move(out));
}

Status RegexSplitter::split(std::string_view text, const MatchSink& sink) const {
  const std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  const std::unique_ptr<pcre2_jit_stack, Free> stack(pcre2_jit_stack_create(1 << 15, kMaxJitStackBytes, nullptr));
  if (context == nullptr || data == nullptr) {
    return Error{ErrorCode::kIo, code_->where, "out of memory for matching the regular expression"};
  }
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kDepthLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  if (stack != nullptr) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());

  std::size_t done = 0;   // everything before it has gone to the sink
  std::size_t start = 0;  // where the next search begins
  while (start <= text.size()) {
    const int count = pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                                  PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) {
      return Error{ErrorCode::kInvalidArgument, code_->where,
                   fmt::format("the regular expression gives up on the text at byte {}: {}; encode shorter texts",
                               start, pcre2_error_text(count))};
    }
    const std::size_t* range = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = range[0];
    const std::size_t end = range[1];
    if (begin == end && (begin == done || begin == text.size())) {  // an empty match cuts only between two parts
      if (start >= text.size()) break;
      start = begin + (begin < text.size() ? decode_at(text.data() + begin).num_bytes : 1);
      continue;
    }
    if (begin > done) sink(done, begin, false);
    if (end > begin) sink(begin, end, true);
    done = end;
    start = end;
  }
  if (done < text.size()) sink(done, text.size(), false);
  return {};
}

}  // namespace nvfp4::text
