// The kernel that gathers K and V by head against torch's own indexing on the same GPU, and against a copy of as many bytes: the limit.
//
//   build/cuda/glyphscope_cuda_bench
#include <torch/cuda.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include "core/random.h"
#include "device/select_heads.h"

namespace glyphscope {
namespace {

// The median of 21 measurements of 100 calls each, in microseconds a call.
double microseconds(const std::function<void()>& call) {
  std::vector<double> times;
  for (int i = 0; i < 22; ++i) {
    torch::cuda::synchronize();
    const auto from = std::chrono::steady_clock::now();
    for (int j = 0; j < 100; ++j) call();
    torch::cuda::synchronize();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - from).count() / 100);
  }
  times.erase(times.begin());  // warms up
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10];
}

void measure(const char* name, torch::ScalarType dtype, int prompts, int batch, int heads, int tokens, int width) {
  const torch::Tensor from = torch::randn({prompts, heads, tokens, width}, make_generator(1)).to(torch::kCUDA, dtype);
  const torch::Tensor rows = torch::randint(prompts, {batch, heads}, make_generator(2), torch::kInt32).cuda();
  const torch::Tensor out = select_heads(from, rows);
  const double kernel = microseconds([&] { select_heads(from, rows); });
  const double index = microseconds([&] { select_heads_portable(from, rows); });
  const double copy = microseconds([&] { out.clone(); });
  std::printf("%-44s %8.1f MB %9.1f us %9.1f us %6.2f %9.1f us %6.2f\n", name, static_cast<double>(out.nbytes()) / 1e6, kernel, index, index / kernel, copy,
              copy / kernel);
}

}  // namespace
}  // namespace glyphscope

int main() {
  using glyphscope::measure;
  if (!torch::cuda::is_available()) return std::fprintf(stderr, "no GPU on this machine\n"), 1;
  std::printf("K or V of a batch gathered by head          size of it    kernel  torch index  ratio     a copy  ratio\n");
  measure("SD 1.5, 77 tokens, 8 heads of 40, batch 4", torch::kFloat32, 4, 4, 8, 77, 40);
  measure("SD 1.5, 77 tokens, 8 heads of 160, batch 64", torch::kFloat32, 4, 64, 8, 77, 160);
  measure("SDXL, 77 tokens, 20 heads of 64, batch 64", torch::kFloat32, 4, 64, 20, 77, 64);
  measure("SD 3, 333 tokens, 24 heads of 64, batch 8", torch::kFloat32, 8, 8, 24, 333, 64);
  measure("SD 3, 333 tokens, 24 heads of 64, batch 128", torch::kFloat32, 128, 128, 24, 333, 64);
  measure("the same in bf16", torch::kBFloat16, 128, 128, 24, 333, 64);
}
