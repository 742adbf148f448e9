// The kernel against its portable twin over random shapes. Needs a GPU; without one the program says so and fails, so that
// a run on a machine with a GPU cannot pass by having seen none.
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include "core/random.h"
#include "device/kernels.h"
#include "device/select_heads.h"

namespace glyphscope {
namespace {

struct SelectHeadsCuda : ::testing::TestWithParam<torch::ScalarType> {
  void SetUp() override {
    ASSERT_TRUE(torch::cuda::is_available()) << "no GPU on this machine";
    ASSERT_TRUE(kernels().select_heads) << "libglyphscope_kernels.so is not beside this program";
  }
};

TEST_P(SelectHeadsCuda, EqualsItsPortableTwin) {
  Choice choice(1);
  for (int i = 0; i < 50; ++i) {
    const int prompts = 1 + choice.below(4), heads = 1 + choice.below(9), batch = 1 + choice.below(33), tokens = 1 + choice.below(90),
              width = 1 + choice.below(80);
    const torch::Tensor from = torch::randn({prompts, heads, tokens, width}, make_generator(static_cast<std::uint64_t>(i))).to(GetParam());
    const torch::Tensor rows = torch::randint(prompts, {batch, heads}, make_generator(static_cast<std::uint64_t>(i) + 1000), torch::kInt32);
    EXPECT_TRUE(torch::equal(select_heads(from.cuda(), rows.cuda()).cpu(), select_heads_portable(from, rows)));
  }
}

TEST_P(SelectHeadsCuda, LetsGradientsThrough) {
  const torch::Tensor from = torch::randn({2, 3, 5, 8}, make_generator(1)).to(torch::kCUDA, GetParam()).set_requires_grad(true);
  const torch::Tensor rows = torch::tensor({{1, 0, 1}}, torch::kInt32).cuda();
  select_heads(from, rows).sum().backward();
  EXPECT_EQ(from.grad().sum().item<double>(), 3 * 5 * 8);
  EXPECT_EQ(from.grad()[0][1].min().item<double>(), 1);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, SelectHeadsCuda, ::testing::Values(torch::kFloat32, torch::kBFloat16, torch::kHalf, torch::kFloat64));

}  // namespace
}  // namespace glyphscope
