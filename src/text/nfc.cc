#include "text/nfc.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "text/code_points.h"
#include "text/unicode_data.h"

namespace nvfp4::text {
namespace {

constexpr std::uint32_t kHangulS = 0xac00;
constexpr std::uint32_t kHangulL = 0x1100;
constexpr std::uint32_t kHangulV = 0x1161;
constexpr std::uint32_t kHangulT = 0x11a7;
constexpr std::uint32_t kNumHangulL = 19;
constexpr std::uint32_t kNumHangulV = 21;
constexpr std::uint32_t kNumHangulT = 28;
constexpr std::uint32_t kNumHangulS = kNumHangulL * kNumHangulV * kNumHangulT;

struct Composition {
  std::uint64_t pair;  // first << 32 | second
  std::uint32_t composed;
};

std::vector<Composition> make_compositions() {
  std::vector<Composition> out;
  for (const Decomposition& d : two_way_decompositions()) {
    out.push_back({std::uint64_t{d.first} << 32 | d.second, d.composed});
  }
  std::sort(out.begin(), out.end(), [](const Composition& a, const Composition& b) { return a.pair < b.pair; });
  return out;
}

std::uint8_t combining_class(std::uint32_t c) {
  const auto runs = combining_class_runs();
  const auto after =
      std::upper_bound(runs.begin(), runs.end(), c, [](std::uint32_t x, const ClassRun& run) { return x < run.first; });
  return (after - 1)->value;  // the first run begins at 0
}

const Decomposition* find_decomposition(std::span<const Decomposition> table, std::uint32_t c) {
  const auto at = std::lower_bound(table.begin(), table.end(), c,
                                   [](const Decomposition& d, std::uint32_t x) { return d.composed < x; });
  return at != table.end() && at->composed == c ? &*at : nullptr;
}

// The composed character, or 0.
std::uint32_t compose(std::uint32_t first, std::uint32_t second) {
  if (first - kHangulL < kNumHangulL && second - kHangulV < kNumHangulV) {
    return kHangulS + ((first - kHangulL) * kNumHangulV + (second - kHangulV)) * kNumHangulT;
  }
  if (first - kHangulS < kNumHangulS && (first - kHangulS) % kNumHangulT == 0 && second > kHangulT &&
      second - kHangulT < kNumHangulT) {
    return first + (second - kHangulT);
  }
  static const std::vector<Composition> kCompositions = make_compositions();
  const std::uint64_t pair = std::uint64_t{first} << 32 | second;
  const auto at = std::lower_bound(kCompositions.begin(), kCompositions.end(), pair,
                                   [](const Composition& c, std::uint64_t x) { return c.pair < x; });
  return at != kCompositions.end() && at->pair == pair ? at->composed : 0;
}

struct Mark {
  std::uint32_t code_point;
  std::uint8_t combining;
  std::uint32_t place = 0;  // of marks to be ordered
};

void decompose(std::uint32_t c, std::vector<Mark>& out) {
  if (c < 0xc0) {
    out.push_back({c, 0, 0});
    return;
  }
  if (c - kHangulS < kNumHangulS) {
    const std::uint32_t s = c - kHangulS;
    out.push_back({kHangulL + s / (kNumHangulV * kNumHangulT), 0, 0});
    out.push_back({kHangulV + s % (kNumHangulV * kNumHangulT) / kNumHangulT, 0, 0});
    if (s % kNumHangulT != 0) out.push_back({kHangulT + s % kNumHangulT, 0, 0});
    return;
  }
  const Decomposition* step = find_decomposition(two_way_decompositions(), c);
  if (step == nullptr) step = find_decomposition(one_way_decompositions(), c);
  if (step == nullptr) {
    out.push_back({c, combining_class(c), 0});
    return;
  }
  decompose(step->first, out);
  if (step->second != 0) decompose(step->second, out);
}

// Puts every run of marks in the order of their classes; equal ones stay in theirs.
void order_marks(std::vector<Mark>& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i].combining == 0) continue;
    std::size_t end = i;
    for (; end < text.size() && text[end].combining != 0; ++end) text[end].place = static_cast<std::uint32_t>(end);
    std::sort(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(end),
              [](const Mark& a, const Mark& b) {
                return a.combining != b.combining ? a.combining < b.combining : a.place < b.place;
              });
    i = end - 1;
  }
}

void compose_in_place(std::vector<Mark>& text) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t starter = kNone;
  std::size_t kept = 0;
  for (const Mark& mark : text) {
    // Blocked: something between the starter and this character has a class as high, or is a starter itself.
    const bool adjacent = starter != kNone && starter + 1 == kept;
    const bool blocked = starter == kNone || (!adjacent && text[kept - 1].combining >= mark.combining);
    const std::uint32_t composed = blocked ? 0 : compose(text[starter].code_point, mark.code_point);
    if (composed != 0) {
      text[starter].code_point = composed;
      continue;
    }
    if (mark.combining == 0) starter = kept;
    text[kept++] = mark;
  }
  text.resize(kept);
}

bool is_boundary(const char* at, const ClassTable& classes) { return (classes[decode_at(at).value] & kNfc) == 0; }

void normalize_segment(const char* begin, const char* end, std::vector<Mark>& scratch, std::string& out) {
  scratch.clear();
  for (const char* at = begin; at < end;) {
    const CodePoint c = decode_at(at);
    decompose(c.value, scratch);
    at += c.num_bytes;
  }
  order_marks(scratch);
  compose_in_place(scratch);
  for (const Mark& mark : scratch) append_utf8(mark.code_point, out);
}

// The first character from `at` on that NFC may change or that may change what stands before it, or `end`.
const char* find_special(const char* at, const char* end, const ClassTable& classes) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080;
  while (at < end) {
    while (end - at >= 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof word);
      if ((word & kHighBits) != 0) break;
      at += 8;
    }
    if (at == end) break;
    const CodePoint c = decode_at(at);
    if ((classes[c.value] & kNfc) != 0) return at;
    at += c.num_bytes;
  }
  return end;
}

}  // namespace

bool is_surely_nfc(std::string_view utf8) {
  const char* end = utf8.data() + utf8.size();
  return find_special(utf8.data(), end, class_table()) == end;
}

std::string to_nfc(std::string_view utf8) {
  const ClassTable& classes = class_table();
  const char* const end = utf8.data() + utf8.size();
  std::string out;
  out.reserve(utf8.size() + utf8.size() / 8);
  std::vector<Mark> scratch;
  const char* done = utf8.data();
  while (done < end) {
    const char* special = find_special(done, end, classes);
    // A segment begins at the character before the special one and ends before the next ordinary one.
    const char* begin = special;
    if (special < end && special > done) begin -= decode_before(special).num_bytes;
    out.append(done, begin);
    const char* stop = special;
    while (stop < end && !is_boundary(stop, classes)) stop += decode_at(stop).num_bytes;
    if (begin < stop) normalize_segment(begin, stop, scratch, out);
    done = stop;
  }
  return out;
}

}  // namespace nvfp4::text
