#pragma once

#include <cstdint>

namespace glyphscope {

/// Our own CUDA kernels: a library of the preset `cuda`, opened at run time from beside the program. Where it is not there, each has a portable twin. Raw
/// pointers, so that nvcc reads no torch header; all on the device, in order with what else is on `stream`; they return CUDA's error message, or null.
struct Kernels {
  /// out[b, h] = prompts[choice[b, h], h], stretches of `bytes` bytes.
  const char* (*select_heads)(const void* prompts, const int* choice, void* out, std::int64_t batch, std::int64_t heads, std::int64_t bytes,
                              void* stream) = nullptr;
  /// out: the numbers of so many blocks of a QuantizedType, in fp32 (bytes 4), bf16 or fp16 (bytes 2).
  const char* (*dequantize)(int type, const void* blocks, std::int64_t count, void* out, int bytes, bool bf16, void* stream) = nullptr;
};

const Kernels& kernels();

}  // namespace glyphscope
