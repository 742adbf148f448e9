#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace glyphscope {

/// Says stop to a running job, from any thread. Copies share one flag, which is never cleared: a new job takes a new token.
class CancelToken {
 public:
  CancelToken() : cancelled_(std::make_shared<std::atomic<bool>>(false)) {}

  void cancel() const { cancelled_->store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed); }
  /// Throws a Failure with ErrorCode::cancelled if the token was cancelled.
  void check() const;

 private:
  std::shared_ptr<std::atomic<bool>> cancelled_;
};

/// How far a job is: `done` of `total` units of `what`.
struct Progress {
  std::string what;
  std::int64_t done = 0;
  std::int64_t total = 0;
};

using ProgressCallback = std::function<void(const Progress&)>;

}  // namespace glyphscope
