#pragma once

#include <cstdint>
#include <functional>

namespace glyphscope {

/// Runs `one` of 0 .. count - 1, up to `workers` of them at a time, a thread each, and returns when all are done. What LibTorch computes within stays on
/// the thread that asks for it. The caller's thread is one of them. Where one throws, those that have not begun are left out, and the first exception
/// goes on to the caller.
///
/// at::parallel_for would do the same, and in a file that is compiled without OpenMP does all of it one after the other, without a word.
void side_by_side(std::int64_t count, std::int64_t workers, const std::function<void(std::int64_t)>& one);

/// Whether this thread is already one of several that work on one thing, here or in LibTorch.
bool is_side_by_side();

}  // namespace glyphscope
