#include "core/side_by_side.h"

#include <ATen/Parallel.h>
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
  {
    const ComputeThreads restored(1);
#pragma omp parallel num_threads(threads)
    {
      // Each thread has a number of its own, and MKL's is not bounded by the region.
      at::set_num_threads(1);
#pragma omp for schedule(dynamic, 1)
      for (std::int64_t i = 0; i < count; ++i) {
        if (failed) continue;
        try {
          one(i);
        } catch (...) {
          if (!failed.exchange(true)) failure = std::current_exception();
        }
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

ComputeThreads::ComputeThreads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }

ComputeThreads::~ComputeThreads() { at::set_num_threads(before_); }

void settle_compute_threads() { at::set_num_threads(at::get_num_threads()); }

bool is_side_by_side() { return omp_in_parallel() != 0; }

}  // namespace glyphscope
