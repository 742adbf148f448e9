#include "core/side_by_side.h"

#include <omp.h>

#include <atomic>
#include <exception>

#ifndef _OPENMP
#error "Without OpenMP (-fopenmp) one would follow the other."
#endif

namespace glyphscope {

void side_by_side(std::int64_t count, std::int64_t workers, const std::function<void(std::int64_t)>& one) {
  const int threads = static_cast<int>(workers);
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) {
    if (failed) continue;
    try {
      one(i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

bool is_side_by_side() { return omp_in_parallel() != 0; }

}  // namespace glyphscope
