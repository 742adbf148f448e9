#pragma once

#include <functional>
#include <future>
#include <utility>

namespace glyphscope {

/// A value that another thread makes meanwhile.
template <class T>
class Soon {
 public:
  explicit Soon(std::function<T()> make) : value_(std::async(std::launch::async, std::move(make)).share()) {}
  /// Waits for it. Throws what making it threw.
  const T& operator*() const { return value_.get(); }
  const T* operator->() const { return &value_.get(); }

 private:
  std::shared_future<T> value_;
};

}  // namespace glyphscope
