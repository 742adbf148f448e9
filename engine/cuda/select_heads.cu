#include <cuda_runtime.h>

#include "cuda/select_heads_kernel.h"

namespace glyphscope {
namespace {

// A block copies a stretch of one (row, head); neighbouring threads copy neighbouring numbers.
__global__ void copy_heads(const float* __restrict__ prompts, const int* __restrict__ choice, float* __restrict__ out, std::int64_t heads, std::int64_t size) {
  const std::int64_t row_head = blockIdx.y, head = row_head % heads;
  const float* from = prompts + (static_cast<std::int64_t>(choice[row_head]) * heads + head) * size;
  float* to = out + row_head * size;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x)
    to[i] = from[i];
}

}  // namespace

const char* select_heads_kernel(const float* prompts, const int* choice, float* out, std::int64_t batch, std::int64_t heads, std::int64_t size) {
  if (batch * heads == 0 || size == 0) return nullptr;
  if (batch * heads > 65535) return "more than 65535 rows x heads";
  constexpr int kThreads = 256;
  const auto blocks = static_cast<unsigned>((size + kThreads - 1) / kThreads);
  copy_heads<<<dim3(blocks < 1024 ? blocks : 1024, static_cast<unsigned>(batch * heads)), kThreads>>>(prompts, choice, out, heads, size);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace glyphscope
