#include <cuda_runtime.h>

#include <cstdint>

namespace glyphscope {
namespace {

// A block copies a stretch of one (row, head); neighbouring threads copy neighbouring units.
template <class Unit>
__global__ void copy_heads(const Unit* __restrict__ prompts, const int* __restrict__ choice, Unit* __restrict__ out, std::int64_t heads, std::int64_t units) {
  const std::int64_t row_head = blockIdx.y, head = row_head % heads;
  const Unit* from = prompts + (static_cast<std::int64_t>(choice[row_head]) * heads + head) * units;
  Unit* to = out + row_head * units;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < units; i += static_cast<std::int64_t>(gridDim.x) * blockDim.x)
    to[i] = from[i];
}

template <class Unit>
const char* launch(const void* prompts, const int* choice, void* out, std::int64_t batch, std::int64_t heads, std::int64_t bytes, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const std::int64_t units = bytes / static_cast<std::int64_t>(sizeof(Unit)), blocks = (units + kThreads - 1) / kThreads;
  copy_heads<<<dim3(static_cast<unsigned>(blocks < 1024 ? blocks : 1024), static_cast<unsigned>(batch * heads)), kThreads, 0, stream>>>(
      static_cast<const Unit*>(prompts), choice, static_cast<Unit*>(out), heads, units);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace
}  // namespace glyphscope

// Kernels::select_heads
extern "C" const char* glyphscope_select_heads(const void* prompts, const int* choice, void* out, std::int64_t batch, std::int64_t heads, std::int64_t bytes,
                                               void* any_stream) {
  using namespace glyphscope;
  const auto stream = static_cast<cudaStream_t>(any_stream);
  if (batch * heads == 0 || bytes == 0) return nullptr;
  if (batch * heads > 65535) return "more than 65535 rows x heads";
  // Sixteen bytes a thread, where they fit: a thread of fewer asks the memory for more than it can answer.
  const auto whole = [&](std::uintptr_t unit) {
    return (static_cast<std::uintptr_t>(bytes) | reinterpret_cast<std::uintptr_t>(prompts) | reinterpret_cast<std::uintptr_t>(out)) % unit == 0;
  };
  if (whole(16)) return launch<uint4>(prompts, choice, out, batch, heads, bytes, stream);
  if (whole(4)) return launch<std::uint32_t>(prompts, choice, out, batch, heads, bytes, stream);
  return launch<std::uint8_t>(prompts, choice, out, batch, heads, bytes, stream);
}
