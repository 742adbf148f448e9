#pragma once

#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <variant>

namespace glyphscope {

/// What kind of thing went wrong; decides the exit code of the command line.
enum class ErrorCode { bad_input, cancelled, out_of_memory, internal };

/// A failure a person can act on.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string what;   ///< What is wrong, as a sentence without a full stop.
  std::string where;  ///< File, key, option or prompt it is wrong in; may be empty.
  std::string hint;   ///< What to do about it; may be empty.

  /// "what (where). hint."
  std::string message() const;
};

/// Inside the engine an Error travels as this exception, up to the nearest `attempt`.
class Failure : public std::exception {
 public:
  explicit Failure(Error error);
  const Error& error() const { return error_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Error error_;
  std::string message_;
};

/// Throws a Failure with ErrorCode::bad_input.
[[noreturn]] void reject(std::string what, std::string where = {}, std::string hint = {});

/// A value or the Error why there is none. Every boundary (file, model, job, command line) returns one.
template <class T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Expected(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content_.index() == 0; }
  /// Precondition of value and *: there is one.
  T& value() { return std::get<0>(content_); }
  const T& value() const { return std::get<0>(content_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  /// Precondition: there is no value.
  const Error& error() const { return std::get<1>(content_); }

 private:
  std::variant<T, Error> content_;
};

/// Nothing, as a value: what an Expected of no result holds.
struct Done {};

/// What nlohmann's exception says, without its number: the key at which it arose, as a JSON pointer, and what is wrong there.
std::string json_message(const std::exception& error);

/// Whether LibTorch says by this that there is no memory left, of the host or of a device, in whichever of its ways.
bool is_out_of_memory(const std::exception& error);

/// The exception being handled, as an Error: a Failure's own, LibTorch's message without its C++ stack, out of memory,
/// malformed JSON. Call it only inside a catch block.
Error current_error();

/// Runs `body`; whatever it throws becomes an Error.
template <class Body>
auto attempt(Body&& body) -> Expected<std::conditional_t<std::is_void_v<decltype(body())>, Done, decltype(body())>> {
  try {
    if constexpr (std::is_void_v<decltype(body())>) {
      body();
      return Done{};
    } else {
      return body();
    }
  } catch (...) {
    return current_error();
  }
}

}  // namespace glyphscope
