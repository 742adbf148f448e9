#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "device/quantized_blocks.h"

namespace glyphscope {
namespace {

template <class Out>
__device__ Out rounded(float value);
template <>
__device__ float rounded(float value) {
  return value;
}
template <>
__device__ __half rounded(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __nv_bfloat16 rounded(float value) {
  return __float2bfloat16_rn(value);
}

// Neighbouring threads form neighbouring numbers. Product and difference are rounded one by one, as on the CPU.
template <class Blocks, class Out>
__global__ void numbers_of(const std::uint8_t* __restrict__ blocks, std::int64_t count, Out* __restrict__ out) {
  for (std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; n < count * Blocks::numbers;
       n += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::uint8_t* block = blocks + n / Blocks::numbers * Blocks::bytes;
    const int i = static_cast<int>(n % Blocks::numbers);
    const quantized::Scale scale = Blocks::scale(block, i / quantized::kRun);
    out[n] = rounded<Out>(__fsub_rn(__fmul_rn(scale.times, static_cast<float>(Blocks::level(block, i))), scale.less));
  }
}

template <class Blocks>
const char* launch(const std::uint8_t* blocks, std::int64_t count, void* out, int bytes, bool bf16, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const std::int64_t wanted = (count * Blocks::numbers + kThreads - 1) / kThreads;
  const auto grid = static_cast<unsigned>(wanted < 65535 ? wanted : 65535);
  if (bytes == 4) {
    numbers_of<Blocks><<<grid, kThreads, 0, stream>>>(blocks, count, static_cast<float*>(out));
  } else if (bf16) {
    numbers_of<Blocks><<<grid, kThreads, 0, stream>>>(blocks, count, static_cast<__nv_bfloat16*>(out));
  } else {
    numbers_of<Blocks><<<grid, kThreads, 0, stream>>>(blocks, count, static_cast<__half*>(out));
  }
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace
}  // namespace glyphscope

// Kernels::dequantize
extern "C" const char* glyphscope_dequantize(int type, const void* any_blocks, std::int64_t count, void* out, int bytes, bool bf16, void* any_stream) {
  using namespace glyphscope;
  if (count == 0) return nullptr;
  const auto* blocks = static_cast<const std::uint8_t*>(any_blocks);
  const auto stream = static_cast<cudaStream_t>(any_stream);
  using Launch = const char* (*)(const std::uint8_t*, std::int64_t, void*, int, bool, cudaStream_t);
  // In the order of QuantizedType, after fp8.
  constexpr Launch kLaunches[] = {launch<quantized::Q4_0>, launch<quantized::Q4_1>, launch<quantized::Q5_0>,   launch<quantized::Q5_1>,
                                  launch<quantized::Q8_0>, launch<quantized::Q2_K>, launch<quantized::Q3_K>,   launch<quantized::Q4_K>,
                                  launch<quantized::Q5_K>, launch<quantized::Q6_K>, launch<quantized::IQ4_NL>, launch<quantized::IQ4_XS>};
  if (type < 1 || type > static_cast<int>(sizeof(kLaunches) / sizeof(kLaunches[0]))) return "no such type of blocks";
  return kLaunches[type - 1](blocks, count, out, bytes, bf16, stream);
}
