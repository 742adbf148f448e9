#pragma once

#include <cstdint>
#include <functional>

namespace glyphscope {

/// Runs `one` of 0 .. count - 1, up to `workers` of them at a time, a thread each, and returns when all are done. What LibTorch and MKL compute within stays
/// on the thread that asks for it, and is to the bit the same on each. The caller's thread is one of them. Where one throws, those that have not begun are left
/// out, and the first exception goes on to the caller.
///
/// at::parallel_for would do the same, and in a file that is compiled without OpenMP does all of it one after the other, without a word.
void side_by_side(std::int64_t count, std::int64_t workers, const std::function<void(std::int64_t)>& one);

/// What this thread asks LibTorch for is computed on so many threads, as long as this lives.
class ComputeThreads {
 public:
  explicit ComputeThreads(int count);
  ~ComputeThreads();
  ComputeThreads(const ComputeThreads&) = delete;
  ComputeThreads& operator=(const ComputeThreads&) = delete;

 private:
  int before_;
};

/// Fixes the number of threads that there are by default. Until a number is set, MKL chooses its own for each call; and it is by their number that a sum is
/// split, so that a picture's last digit would depend on what was computed before.
void settle_compute_threads();

/// Whether this thread is already one of several that work on one thing, here or in LibTorch.
bool is_side_by_side();

}  // namespace glyphscope
