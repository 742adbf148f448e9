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
  CancelToken() : state_(std::make_shared<std::atomic<int>>(0)) {}

  void cancel() const { state_->store(kCancelled, std::memory_order_relaxed); }
  bool cancelled() const { return state_->load(std::memory_order_relaxed) == kCancelled; }
  /// Says stop where a part is done and kept. A job that keeps no parts does not look at it.
  void finish() const {
    int none = 0;
    state_->compare_exchange_strong(none, kFinishing, std::memory_order_relaxed);
  }
  /// Either was said.
  bool finishing() const { return state_->load(std::memory_order_relaxed) != 0; }
  /// Throws a Failure with ErrorCode::cancelled if the token was cancelled.
  void check() const;
  /// The same between two parts.
  void check_between() const;

 private:
  static constexpr int kFinishing = 1, kCancelled = 2;
  std::shared_ptr<std::atomic<int>> state_;
};

/// How far a job is: `done` of `total` units of `what`.
struct Progress {
  std::string what;
  std::int64_t done = 0;
  std::int64_t total = 0;
};

using ProgressCallback = std::function<void(const Progress&)>;

}  // namespace glyphscope
