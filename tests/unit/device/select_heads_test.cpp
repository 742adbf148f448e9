#include "device/select_heads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

TEST(SelectHeads, TakesEachHeadFromItsPrompt) {
  Choice choice(1);
  for (int i = 0; i < 20; ++i) {
    const int prompts = 1 + choice.below(4), heads = 1 + choice.below(5), batch = 1 + choice.below(6);
    const torch::Tensor from = torch::randn({prompts, heads, 3, 4}, make_generator(static_cast<std::uint64_t>(i)));
    const torch::Tensor rows = torch::randint(prompts, {batch, heads}, make_generator(static_cast<std::uint64_t>(i) + 1000), torch::kInt32);
    const torch::Tensor out = select_heads(from, rows);
    for (int b = 0; b < batch; ++b)
      for (int h = 0; h < heads; ++h) EXPECT_TRUE(torch::equal(out[b][h], from[rows[b][h].item<int>()][h]));
  }
}

TEST(SelectHeads, RefusesShapesThatDoNotFit) {
  EXPECT_THAT(testing::failure_of([] { select_heads(torch::zeros({2, 3, 4, 5}), torch::zeros({1, 2}, torch::kInt32)); }), ::testing::HasSubstr("select_heads"));
}

}  // namespace
}  // namespace glyphscope
