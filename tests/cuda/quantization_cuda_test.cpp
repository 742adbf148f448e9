// The numbers of quantized weights on a GPU, against those of the CPU to the bit; and layers that keep them, streamed too. Needs a GPU, and fails without one.
#include "device/quantization.h"

#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include "device/kernels.h"
#include "io/gguf.h"
#include "models/layers.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;

struct QuantizationCuda : ::testing::Test {
  void SetUp() override {
    ASSERT_TRUE(torch::cuda::is_available()) << "no GPU on this machine";
    ASSERT_TRUE(kernels().dequantize) << "libglyphscope_kernels.so is not beside this program";
  }
};

TEST_F(QuantizationCuda, NumbersAreTheCpusToTheBit) {
  const GgufFile file(golden("gguf") / "types.gguf");
  int count = 0;
  for (const auto& [name, entry] : file.entries()) {
    if (!entry.quantized) continue;
    const QuantizedTensor here = file.quantized(name), there = here.to(torch::kCUDA);
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kFloat16, torch::kFloat64})
      EXPECT_TRUE(torch::equal(there.dequantized(dtype).cpu(), here.dequantized(dtype))) << name << dtype;
    ++count;
  }
  EXPECT_EQ(count, 12);
  const torch::Tensor fp8 = torch::linspace(-3, 3, 64).reshape({8, 8}).to(torch::kFloat8_e4m3fn), scale = torch::linspace(0.1, 2, 8);
  for (const QuantizedTensor& here : {QuantizedTensor{fp8, {}}, QuantizedTensor{fp8, {QuantizedType::fp8, 0, scale}}})
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16})
      EXPECT_TRUE(torch::equal(here.to(torch::kCUDA).dequantized(dtype).cpu(), here.dequantized(dtype)));
}

// Rows are looked up, and layers compute and pass gradients, as on the CPU.
TEST_F(QuantizationCuda, LayersThatKeepThemComputeTheSame) {
  const GgufFile file(golden("gguf") / "types.gguf");
  const QuantizedTensor kept = file.quantized("Q4_K");
  Embedding here(3, 512), there(3, 512);
  here.keep_quantized(kept, torch::kFloat32);
  there.keep_quantized(kept.to(torch::kCUDA), torch::kFloat32);
  const torch::Tensor ids = torch::tensor({2, 0, 1, 2}, torch::kInt64);
  EXPECT_TRUE(torch::equal(there.forward(ids.cuda()).cpu(), here.forward(ids)));
  Linear one(512, 3, false), two(512, 3, false);
  one.keep_quantized(kept, torch::kFloat32);
  two.keep_quantized(kept.to(torch::kCUDA), torch::kFloat32);
  torch::Tensor x = torch::randn({5, 512}), y = x.cuda();
  x.set_requires_grad(true);
  y.set_requires_grad(true);
  const torch::Tensor a = one.forward(x), b = two.forward(y);
  EXPECT_TRUE(torch::allclose(b.cpu(), a, 1e-3, 1e-3 * a.abs().max().item<double>()));
  a.sum().backward();
  b.sum().backward();
  EXPECT_TRUE(torch::allclose(y.grad().cpu(), x.grad(), 1e-4, 1e-4 * x.grad().abs().max().item<double>()));
}

}  // namespace
}  // namespace glyphscope
