// A program of its own, in which nobody has set how many threads there are, as the engine's other tests do: as a user's process begins.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "pipelines/pipeline.h"
#include "registry/open_model.h"

namespace glyphscope {
namespace {

// The same bits in the first request of a process and in those after it, whichever thread draws which rows: MKL splits its sums by how many threads it takes.
TEST(SameBits, InTheFirstRequestAndInAllOthers) {
  const auto opened = open_model("demo:sign-unet");
  ASSERT_TRUE(opened) << opened.error().message();
  Request request;
  request.prompts = {"a round red sign that says \"LOVE\" on a blue wall", "a round red sign that says \"TIME\" on a blue wall"};
  request.steps = 4;
  for (int row = 0; row < 14; ++row) request.rows.push_back({0, 42, row < 2 ? PatchPlan() : PatchPlan::at_sites({row % 11}, 1)});
  torch::Tensor first;
  for (int i = 0; i < 6; ++i) {
    const auto drawn = (*opened)->generate(request);
    ASSERT_TRUE(drawn) << drawn.error().message();
    if (!first.defined()) first = drawn->latents;
    EXPECT_TRUE(torch::equal(drawn->latents, first)) << "request " << i;
  }
}

}  // namespace
}  // namespace glyphscope
