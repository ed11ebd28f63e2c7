#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "base/checked_math.h"
#include "checkpoint/foreign_file.h"
#include "checkpoint/strict_json.h"

namespace nvfp4::checkpoint {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

// Walks one header's JSON. Byte ranges are still relative to the end of the header.
class HeaderWalk {
 public:
  HeaderWalk(SafetensorsHeader& header, const NameHasher& hasher)
      : header_(header), strict_(header.text.view(), header.unescaped), hasher_(hasher) {}

  [[nodiscard]] bool run(json::document& document);
  [[nodiscard]] Error error(std::string_view label) const;
  [[nodiscard]] bool sorted() const { return sorted_; }

 private:
  enum Field : unsigned { kDType = 1, kShape = 2, kOffsets = 4, kAll = 7 };

  bool entries(json::object& object);
  bool metadata(json::value& value);
  [[gnu::always_inline]] inline bool tensor(std::string_view name, json::value& value);
  [[gnu::always_inline]] inline bool tensor_object(json::value& value, StoredTensor& tensor);
  [[gnu::noinline]] bool tensor_sequence(json::value& value, StoredTensor& tensor);
  [[gnu::always_inline]] inline bool field_bit(json::raw_json_string key, unsigned& bit);
  bool other_field_bit(json::raw_json_string key, unsigned& bit);
  [[gnu::always_inline]] inline bool dtype(json::value& value, StoredTensor& tensor);
  [[gnu::always_inline]] inline bool dtype_name_of(json::value& value, std::string_view& name);
  [[gnu::always_inline]] inline bool shape(json::value& value, StoredTensor& tensor);
  [[gnu::always_inline]] inline bool offsets(json::value& value, StoredTensor& tensor);
  [[gnu::always_inline]] inline bool whole_number(json::value& value, std::uint64_t& out);

  bool fail(std::string problem) { return strict_.fail(std::move(problem)); }
  bool fail(simdjson::error_code error) { return strict_.fail(error); }

  SafetensorsHeader& header_;
  StrictJson strict_;
  const NameHasher& hasher_;
  std::string_view name_;   // of the tensor being read
  std::string_view field_;  // of that tensor
  std::string unknown_field_;
  bool in_tensor_ = false;
  bool sorted_ = true;
  DType recent_dtype_ = DType::kBF16;
};

Error HeaderWalk::error(std::string_view label) const {
  std::string where(label);
  if (in_tensor_) where += ": tensor " + quote_name(name_);
  if (!field_.empty()) where += fmt::format(": {}", field_);
  return Error{ErrorCode::kMalformed, std::move(where),
               strict_.problem() + (in_tensor_ || !field_.empty() ? "" : " (in the header)")};
}

bool HeaderWalk::run(json::document& document) {
  json::object object;
  if (const auto error = document.get_object().get(object)) {
    return error == simdjson::INCORRECT_TYPE ? fail("the header is not a JSON object") : fail(error);
  }
  if (!entries(object)) return false;
  if (!nothing_follows(document)) return fail("not valid JSON: something follows the last brace");
  return true;
}

bool HeaderWalk::entries(json::object& object) {
  bool has_metadata = false;
  for (auto entry : object) {
    in_tensor_ = false;
    field_ = {};
    if (const auto error = entry.error()) return fail(error);
    json::field&& field = std::move(entry).value_unsafe();
    std::string_view name;
    if (!strict_.text_of(field.key(), name)) return false;
    if (name == kMetadataKey) {
      field_ = kMetadataKey;
      if (std::exchange(has_metadata, true)) return fail("is there twice");
      if (!metadata(field.value())) return false;
    } else if (!tensor(name, field.value())) {
      return false;
    }
  }
  in_tensor_ = false;
  field_ = {};
  return true;
}

bool HeaderWalk::metadata(json::value& value) {
  if (strict_.null(value)) return true;
  json::object object;
  if (value.get_object().get(object)) return fail("must be an object of strings");
  std::vector<std::string_view> keys;
  for (auto entry : object) {
    if (const auto error = entry.error()) return fail(error);
    json::field&& field = std::move(entry).value_unsafe();
    std::string_view key;
    std::string_view text;
    if (!strict_.text_of(field.key(), key)) return false;
    if (!strict_.string(field.value(), text)) return fail(fmt::format("{}: {}", quote_name(key), strict_.problem()));
    keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  const auto twin = std::adjacent_find(keys.begin(), keys.end());
  return twin == keys.end() || fail(fmt::format("the key {} is there twice", quote_name(*twin)));
}

bool HeaderWalk::tensor(std::string_view name, json::value& value) {
  in_tensor_ = true;
  name_ = name;
  StoredTensor tensor;
  tensor.name = name;
  json::json_type type{};
  if (const auto error = value.type().get(type)) return fail(error);
  if (type == json::json_type::object) {
    if (!tensor_object(value, tensor)) return false;
  } else if (type == json::json_type::array) {
    if (!tensor_sequence(value, tensor)) return false;
  } else {
    return fail("must be an object with dtype, shape and data_offsets");
  }
  if (!header_.tensors.empty()) {
    const StoredTensor& before = header_.tensors.back();
    sorted_ = sorted_ && std::pair(before.begin, before.end) <= std::pair(tensor.begin, tensor.end);
  }
  header_.tensors.push_back(tensor);
  header_.name_hashes.push_back(hasher_(name));
  return true;
}

bool HeaderWalk::tensor_object(json::value& value, StoredTensor& tensor) {
  json::object object;
  if (const auto error = value.get_object().get(object)) return fail(error);
  unsigned seen = 0;
  for (auto entry : object) {
    field_ = {};
    if (const auto error = entry.error()) return fail(error);
    json::field&& field = std::move(entry).value_unsafe();
    unsigned bit = 0;
    if (!field_bit(field.key(), bit)) return false;
    if ((seen & bit) != 0) return fail("is there twice");
    seen |= bit;
    const bool good = bit == kDType     ? dtype(field.value(), tensor)
                      : bit == kShape   ? shape(field.value(), tensor)
                      : bit == kOffsets ? offsets(field.value(), tensor)
                                        : strict_.check(field.value(), 2);
    if (!good) return false;
  }
  field_ = {};
  if (seen == kAll) return true;
  return fail(fmt::format("has no {}", (seen & kDType) == 0   ? "dtype"
                                       : (seen & kShape) == 0 ? "shape"
                                                              : "data_offsets"));
}

// Sets field_, and `bit` if it is one of the three; as a rule their names are written without escapes.
bool HeaderWalk::field_bit(json::raw_json_string key, unsigned& bit) {
  const char* const raw = key.raw();
  const auto is = [&](std::string_view name, unsigned field) {
    field_ = name;
    bit = field;
    return true;
  };
  // With the closing quote; the bytes behind the text make reading on safe.
  if (std::memcmp(raw, "dtype\"", 6) == 0) return is("dtype", kDType);
  if (std::memcmp(raw, "shape\"", 6) == 0) return is("shape", kShape);
  if (std::memcmp(raw, "data_offsets\"", 13) == 0) return is("data_offsets", kOffsets);
  return other_field_bit(key, bit);
}

bool HeaderWalk::other_field_bit(json::raw_json_string key, unsigned& bit) {
  std::string_view text;
  if (!strict_.text_of(key, text)) return false;
  unknown_field_ = quote_name(text);
  field_ = text == "dtype" || text == "shape" || text == "data_offsets" ? text : std::string_view(unknown_field_);
  bit = text == "dtype" ? kDType : text == "shape" ? kShape : text == "data_offsets" ? kOffsets : 0U;
  return true;
}

// The three fields as an array, in the order dtype, shape, data_offsets: nobody writes it, but the Rust package reads
// it.
bool HeaderWalk::tensor_sequence(json::value& value, StoredTensor& tensor) {
  json::array array;
  if (const auto error = value.get_array().get(array)) return fail(error);
  std::size_t num_fields = 0;
  for (auto element : array) {
    if (const auto error = element.error()) return fail(error);
    json::value&& inner = std::move(element).value_unsafe();
    field_ = num_fields == 0 ? "dtype" : num_fields == 1 ? "shape" : "data_offsets";
    const bool good = num_fields == 0   ? dtype(inner, tensor)
                      : num_fields == 1 ? shape(inner, tensor)
                      : num_fields == 2 ? offsets(inner, tensor)
                                        : fail("is followed by a fourth element");
    if (!good) return false;
    ++num_fields;
  }
  field_ = {};
  return num_fields == 3 || fail("must have dtype, shape and data_offsets");
}

bool HeaderWalk::dtype_name_of(json::value& value, std::string_view& name) {
  json::json_type type{};
  if (const auto error = value.type().get(type)) return fail(error);
  if (type == json::json_type::string) {
    json::raw_json_string raw;
    if (const auto error = value.get_raw_json_string().get(raw)) return fail(error);
    name = dtype_name(recent_dtype_);
    return raw.unsafe_is_equal(name) || strict_.text_of(raw, name);
  }
  if (type != json::json_type::object) return fail("must be a string");
  // {"F32": null} stands for "F32" in the Rust package.
  json::object object;
  if (const auto error = value.get_object().get(object)) return fail(error);
  std::size_t num_names = 0;
  for (auto entry : object) {
    if (const auto error = entry.error()) return fail(error);
    json::field&& field = std::move(entry).value_unsafe();
    if (++num_names > 1 || !strict_.text_of(field.key(), name)) return fail("must be a string");
    if (!strict_.null(field.value())) return fail("must be a string");
  }
  return num_names == 1 || fail("must be a string");
}

bool HeaderWalk::dtype(json::value& value, StoredTensor& tensor) {
  std::string_view name;
  if (!dtype_name_of(value, name)) return false;
  if (name != dtype_name(recent_dtype_)) {
    const auto found = dtype_from_name(name);
    if (!found) return fail(fmt::format("{} is not an element type of safetensors", quote_name(name)));
    recent_dtype_ = *found;
  }
  tensor.dtype = recent_dtype_;
  return true;
}

bool HeaderWalk::whole_number(json::value& value, std::uint64_t& out) {
  if (!value.get_uint64().get(out)) return true;
  return fail(fmt::format("must hold whole numbers from 0 to 2^64 - 1, not {}",
                          quote_name(trimmed_token(value.raw_json_token()))));
}

bool HeaderWalk::shape(json::value& value, StoredTensor& tensor) {
  json::array array;
  if (value.get_array().get(array)) return fail("must be an array of whole numbers");
  const std::size_t first = header_.dims.size();
  for (auto element : array) {
    std::uint64_t dim = 0;
    if (const auto error = element.error()) return fail(error);
    json::value&& inner = std::move(element).value_unsafe();
    if (!whole_number(inner, dim)) return false;
    if (header_.dims.size() == header_.dims.capacity()) return fail("has more dimensions than its text can hold");
    header_.dims.push_back(dim);
  }
  tensor.shape = std::span<const std::uint64_t>(header_.dims).subspan(first);
  return true;
}

bool HeaderWalk::offsets(json::value& value, StoredTensor& tensor) {
  json::array array;
  if (value.get_array().get(array)) return fail("must be an array of two whole numbers");
  std::array<std::uint64_t, 2> range{};
  std::size_t num_numbers = 0;
  for (auto element : array) {
    if (const auto error = element.error()) return fail(error);
    json::value&& inner = std::move(element).value_unsafe();
    if (num_numbers == range.size()) return fail("has more than two numbers");
    if (!whole_number(inner, range[num_numbers++])) return false;
  }
  if (num_numbers != range.size()) return fail("must have two numbers: where the tensor begins and ends");
  tensor.begin = range[0];
  tensor.end = range[1];
  return true;
}

std::string shape_text(const StoredTensor& tensor) {
  constexpr std::size_t kMaxShown = 8;
  std::string out = "[";
  for (std::size_t i = 0; i < std::min(tensor.shape.size(), kMaxShown); ++i) {
    out += fmt::format("{}{}", i == 0 ? "" : ", ", tensor.shape[i]);
  }
  return out + (tensor.shape.size() > kMaxShown ? ", ...]" : "]");
}

// Puts the tensors in the order of their bytes.
void sort_by_range(SafetensorsHeader& header) {
  std::vector<std::uint32_t> order(header.tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const StoredTensor& left = header.tensors[a];
    const StoredTensor& right = header.tensors[b];
    return std::tuple(left.begin, left.end, a) < std::tuple(right.begin, right.end, b);
  });
  std::vector<StoredTensor> tensors;
  std::vector<std::uint64_t> hashes;
  tensors.reserve(order.size());
  hashes.reserve(order.size());
  for (const std::uint32_t i : order) {
    tensors.push_back(header.tensors[i]);
    hashes.push_back(header.name_hashes[i]);
  }
  std::copy(tensors.begin(), tensors.end(), header.tensors.begin());
  std::copy(hashes.begin(), hashes.end(), header.name_hashes.begin());
}

Error tensor_error(std::string_view label, const StoredTensor& tensor, std::string_view field, std::string message) {
  return Error{ErrorCode::kMalformed, fmt::format("{}: tensor {}: {}", label, quote_name(tensor.name), field),
               std::move(message)};
}

Status check_size(std::string_view label, const StoredTensor& tensor) {
  const auto num_elements = checked_product(tensor.shape);
  const auto num_bits = num_elements ? checked_mul(*num_elements, bits_per_element(tensor.dtype)) : std::nullopt;
  if (!num_bits) {
    return tensor_error(label, tensor, "shape",
                        fmt::format("{} of {} has more bits than 64-bit numbers can count", shape_text(tensor),
                                    dtype_name(tensor.dtype)));
  }
  if (*num_bits % 8 != 0) {
    return tensor_error(
        label, tensor, "shape",
        fmt::format("{} of {} does not fill whole bytes", shape_text(tensor), dtype_name(tensor.dtype)));
  }
  if (*num_bits / 8 != tensor.num_bytes()) {
    return tensor_error(label, tensor, "data_offsets",
                        fmt::format("[{}, {}] spans {} bytes, but shape {} of {} needs {}", tensor.begin, tensor.end,
                                    tensor.num_bytes(), shape_text(tensor), dtype_name(tensor.dtype), *num_bits / 8));
  }
  return {};
}

// No gap, no overlap, and each size right. The tensors are in the order of their bytes.
Status check_ranges(std::string_view label, SafetensorsHeader& header) {
  std::uint64_t expected = 0;
  for (const StoredTensor& tensor : header.tensors) {
    if (tensor.begin > tensor.end) {
      return tensor_error(label, tensor, "data_offsets",
                          fmt::format("[{}, {}] ends before it begins", tensor.begin, tensor.end));
    }
    if (tensor.begin != expected) {
      return tensor_error(
          label, tensor, "data_offsets",
          tensor.begin < expected
              ? fmt::format("begins at {}, inside the tensor before it, which ends at {}", tensor.begin, expected)
              : fmt::format("begins at {}, but the tensor before it ends at {}: the bytes between belong to none",
                            tensor.begin, expected));
    }
    NVFP4_RETURN_IF_ERROR(check_size(label, tensor));
    expected = tensor.end;
  }
  header.num_tensor_bytes = expected;
  return {};
}

Status check_names(std::string_view label, const SafetensorsHeader& header) {
  NameTable table(header.tensors.size());
  for (std::uint32_t i = 0; i < header.tensors.size(); ++i) {
    const std::string_view name = header.tensors[i].name;
    const auto same = [&](std::uint32_t other) { return header.tensors[other].name == name; };
    if (table.insert(header.name_hashes[i], i, same) != NameTable::kNone) {
      return Error{ErrorCode::kMalformed, fmt::format("{}: tensor {}", label, quote_name(name)),
                   "the header has this name twice; which of both is meant cannot be known"};
    }
  }
  return {};
}

// Compares what header and tensors need with the size of the file, then makes the byte ranges absolute.
Status place_in_file(std::string_view label, SafetensorsHeader& header, std::uint64_t file_bytes) {
  const std::uint64_t data_begin = kLengthBytes + header.text.view().size();
  const auto needed = checked_add(data_begin, header.num_tensor_bytes);
  if (!needed || *needed > file_bytes) {
    const std::string missing = needed ? fmt::format("{}", *needed - file_bytes) : "more than 2^63";
    return Error{
        ErrorCode::kMalformed, fmt::format("{}: tensor {}", label, quote_name(header.tensors.back().name)),
        fmt::format("the file is truncated: it has {} bytes, {} are missing; download it again", file_bytes, missing)};
  }
  if (*needed < file_bytes) {
    return Error{ErrorCode::kMalformed, std::string(label),
                 fmt::format("the last {} bytes of the file belong to no tensor; download or write it again",
                             file_bytes - *needed)};
  }
  for (StoredTensor& tensor : header.tensors) {
    tensor.begin += data_begin;
    tensor.end += data_begin;
  }
  return {};
}

// N, once it is known to be possible. `start` is what the file begins with, at least 8 bytes unless it is shorter.
Result<std::uint64_t> header_length(std::string_view label, std::string_view start, std::uint64_t file_bytes) {
  const auto fail = [&](std::string message) {
    if (const auto foreign = foreign_file_advice(start)) message = *foreign;
    return Error{ErrorCode::kMalformed, std::string(label), std::move(message)};
  };
  if (file_bytes == 0) return fail("the file is empty; download it again");
  if (file_bytes < kLengthBytes) {
    return fail(fmt::format("the file has {} bytes, too few for the header length; download it again", file_bytes));
  }
  std::uint64_t num_bytes = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) num_bytes = num_bytes << 8 | static_cast<unsigned char>(start[i]);
  if (num_bytes > SafetensorsParser::kMaxHeaderBytes) {
    return fail(fmt::format("header length {} is above the limit of {}: not a safetensors file, or damaged", num_bytes,
                            SafetensorsParser::kMaxHeaderBytes));
  }
  if (num_bytes > file_bytes - kLengthBytes) {
    return fail(
        fmt::format("the file is truncated: it has {} bytes, and {} are missing from its header alone; download "
                    "it again",
                    file_bytes, num_bytes - (file_bytes - kLengthBytes)));
  }
  return num_bytes;
}

Error no_memory(std::string_view label, std::uint64_t num_bytes) {
  return Error{ErrorCode::kIo, std::string(label), fmt::format("no memory for a header of {} bytes", num_bytes)};
}

}  // namespace

struct SafetensorsParser::State {
  explicit State(NameHasher name_hasher) : hasher(name_hasher) {}
  json::parser parser;
  NameHasher hasher;
  LargePagePool pool;  // for the texts of headers
};

SafetensorsParser::SafetensorsParser(NameHasher hasher) : state_(std::make_unique<State>(hasher)) {}
SafetensorsParser::SafetensorsParser(SafetensorsParser&&) noexcept = default;
SafetensorsParser::~SafetensorsParser() = default;

Result<SafetensorsHeader> SafetensorsParser::read(const File& file) {
  std::array<char, 64> start{};
  const auto num_start = static_cast<std::size_t>(std::min<std::uint64_t>(file.num_bytes(), start.size()));
  NVFP4_RETURN_IF_ERROR(file.read_at(0, std::as_writable_bytes(std::span(start).first(num_start))));
  const auto num_bytes = header_length(file.label(), {start.data(), num_start}, file.num_bytes());
  if (!num_bytes) return num_bytes.error();
  JsonText text(*num_bytes, state_->pool);
  if (!text.valid()) return no_memory(file.label(), *num_bytes);
  NVFP4_RETURN_IF_ERROR(file.read_at(kLengthBytes, text.bytes()));
  return parse_header(file.label(), std::move(text), file.num_bytes());
}

Result<SafetensorsHeader> SafetensorsParser::parse(std::string_view label, std::span<const std::byte> whole_file) {
  const std::string_view file(reinterpret_cast<const char*>(whole_file.data()), whole_file.size());
  const auto num_bytes = header_length(label, file, file.size());
  if (!num_bytes) return num_bytes.error();
  JsonText text(file.substr(kLengthBytes, *num_bytes));
  if (!text.valid()) return no_memory(label, *num_bytes);
  auto header = parse_header(label, std::move(text), file.size());
  if (header) NVFP4_RETURN_IF_ERROR(check_names(label, *header));
  return header;
}

Result<SafetensorsHeader> SafetensorsParser::parse_header(std::string_view label, JsonText text,
                                                          std::uint64_t file_bytes) {
  SafetensorsHeader header;
  header.text = std::move(text);
  const std::string_view json_text = header.text.view();
  // Each tensor has two brackets and 18 characters at least, each dimension two: no array grows while it is filled.
  const std::size_t max_tensors = std::min(count_char(json_text, '[') / 2, json_text.size() / 18) + 1;
  header.tensors = PoolArray<StoredTensor>(max_tensors, state_->pool);
  header.name_hashes = PoolArray<std::uint64_t>(max_tensors, state_->pool);
  if (!header.tensors.valid() || !header.name_hashes.valid()) return no_memory(label, json_text.size());
  header.dims.reserve(json_text.size() / 2 + 1);

  HeaderWalk walk(header, state_->hasher);
  json::document document;
  const simdjson::padded_string_view padded(json_text.data(), json_text.size(),
                                            json_text.size() + JsonText::kPaddingBytes);
  if (const auto error = state_->parser.iterate(padded).get(document)) {
    return Error{ErrorCode::kMalformed, std::string(label),
                 fmt::format("the header is not valid JSON: {}", simdjson::error_message(error))};
  }
  if (!walk.run(document)) return walk.error(label);
  if (!walk.sorted()) sort_by_range(header);
  if (Status ranges = check_ranges(label, header); !ranges.ok()) {
    // Twins overlap too, but that is not what is wrong with them.
    NVFP4_RETURN_IF_ERROR(check_names(label, header));
    return std::move(ranges).error();
  }
  NVFP4_RETURN_IF_ERROR(place_in_file(label, header, file_bytes));
  return header;
}

}  // namespace nvfp4::checkpoint
