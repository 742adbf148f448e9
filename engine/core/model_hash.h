#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/progress.h"

namespace glyphscope {

/// SHA-256 over all files of a model, hexadecimal. It takes seconds where they are many gigabytes, so that a thread of its own forms it; who asks for the text
/// waits for it. It begins once the weights have been read, as two who read one disk take each other's time. Copies share it; with the last of them the
/// thread is told to stop.
class ModelHash {
 public:
  ModelHash() : ModelHash(std::string()) {}
  ModelHash(std::string known);  // NOLINT(google-explicit-constructor): a text is one
  using Form = std::function<std::string(const CancelToken& cancel)>;
  explicit ModelHash(Form form);

  /// Forms it from now on, if nobody does so yet.
  void begin() const;
  /// Begins, and waits. Throws the Failure that forming it ended with.
  const std::string& text() const;
  operator const std::string&() const { return text(); }  // NOLINT(google-explicit-constructor)
  /// Whether text() would not wait.
  bool ready() const;
  /// Nobody waits to know that two copies are of one model.
  friend bool operator==(const ModelHash& a, const ModelHash& b) { return a.state_ == b.state_ || a.text() == b.text(); }

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// For nlohmann::json, of either kind.
template <class Json>
void to_json(Json& json, const ModelHash& hash) {
  json = hash.text();
}

}  // namespace glyphscope
