// How a fallible call answers: a value, or an Error that says what is wrong, where, and what to do.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace nvfp4 {

enum class ErrorCode {
  kIo,               // the operating system refused: open, read, map
  kMalformed,        // the bytes break the format's rules
  kUnsupported,      // well formed, but a scheme or version that this library does not read
  kContradiction,    // two parts of the input disagree and no rule decides between them
  kNotFound,         // a file, tensor or field that must be there is not
  kInvalidArgument,  // the caller asked for something that cannot be
};

struct Error {
  ErrorCode code = ErrorCode::kMalformed;
  std::string where;    // the file, then the tensor or field concerned: `model.safetensors: tensor "x.weight"`
  std::string message;  // one line: what is wrong, and what to do about it

  [[nodiscard]] std::string to_string() const { return where.empty() ? message : where + ": " + message; }
};

// Holds either a T or an Error. Asking for the one that is not there is a bug of the caller (assert).
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  [[nodiscard]] Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

// A call that answers nothing but success or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : failed_(true), error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const& {
    assert(failed_);
    return error_;
  }
  [[nodiscard]] Error&& error() && {
    assert(failed_);
    return std::move(error_);
  }

 private:
  bool failed_ = false;
  Error error_;
};

}  // namespace nvfp4

// Leaves the calling function with the Error of `expr` (a Status or Result), if it has one.
#define NVFP4_RETURN_IF_ERROR(expr)                         \
  do {                                                      \
    if (auto&& nvfp4_status = (expr); !nvfp4_status.ok()) { \
      return std::move(nvfp4_status).error();               \
    }                                                       \
  } while (false)
