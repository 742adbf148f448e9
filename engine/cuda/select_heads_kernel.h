#pragma once

#include <cstdint>

namespace glyphscope {

/// out[b, h, i] = prompts[choice[b, h], h, i] for i in [0, size), all on the device, on the default stream; returns CUDA's
/// error message or null. Raw pointers, so that nvcc reads no torch header.
const char* select_heads_kernel(const float* prompts, const int* choice, float* out, std::int64_t batch, std::int64_t heads, std::int64_t size);

}  // namespace glyphscope
