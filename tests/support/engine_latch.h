#pragma once

#include <memory>

namespace glyphscope::testing {

/// Holds whatever thread computes an attention layer, in the midst of its forward pass, until it is released. One at a time.
class EngineLatch {
 public:
  EngineLatch();
  ~EngineLatch();
  /// True once a thread is held.
  bool holds() const;
  /// Lets the thread go on, and holds nobody any more.
  void release();

 private:
  struct State;
  std::shared_ptr<State> state_;
  unsigned long handle_;
};

}  // namespace glyphscope::testing
