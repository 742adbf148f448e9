#pragma once

#include <cstdint>

namespace glyphscope {

/// out[b, h] = prompts[choice[b, h], h], stretches of `bytes` bytes, all on the device, on the default stream; returns CUDA's error message or
/// null. Raw pointers, so that nvcc reads no torch header.
const char* select_heads_kernel(const void* prompts, const int* choice, void* out, std::int64_t batch, std::int64_t heads, std::int64_t bytes);

}  // namespace glyphscope
