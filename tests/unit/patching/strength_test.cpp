#include <gtest/gtest.h>
#include <torch/types.h>

#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// The latents of "a red sign" whose sites see "a blue sign".
torch::Tensor drawn(Pipeline& pipeline, std::vector<SitePatch> patches) {
  Request request;
  request.prompts = {"a red sign", "a blue sign"};
  request.steps = 3;
  request.rows = {{0, 7, PatchPlan(std::move(patches))}};
  auto result = pipeline.generate(request);
  if (!result) throw Failure(result.error());
  return result->latents;
}

std::vector<SitePatch> patches(double strength) {
  return {{.site = 0, .prompt = 1, .strength = strength},
          {.site = 1, .prompt = 1, .heads = {0}, .streams = Streams::value, .from_step = 1, .strength = strength}};
}

TEST(Strength, OfNothingChangesNoBitAndOfAllIsThePatch) {
  for (const char* model : {"pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_flux", "pipeline_z_image"}) {
    const auto pipeline = *open_model(testing::golden(model).string());
    // Patches without a strength, as plans were before there was one.
    std::vector<SitePatch> plain = patches(1);
    for (auto& one : plain) EXPECT_EQ(one.strength, SitePatch().strength);
    // The source in a batch of the same rows: joint attention has the other prompt's row beside it.
    std::vector<SitePatch> never = patches(1);
    for (auto& one : never) one.from_step = 3;
    const torch::Tensor source = drawn(*pipeline, never), all = drawn(*pipeline, plain);
    EXPECT_TRUE(drawn(*pipeline, patches(0)).equal(source)) << model;
    EXPECT_FALSE(all.equal(source)) << model;
    // A patch at less than all takes the general way for every head; those at 1 beside it keep their bits.
    std::vector<SitePatch> beside = patches(1);
    beside.insert(beside.begin(), {.site = 0, .prompt = 1, .heads = {0}, .strength = 0.5});  // overridden by the next
    EXPECT_TRUE(drawn(*pipeline, beside).equal(all)) << model;
    const double whole = (all - source).norm().item<double>();
    double last = 0;
    for (const double strength : {0.1, 0.4, 0.7}) {
      const double moved = (drawn(*pipeline, patches(strength)) - source).norm().item<double>();
      EXPECT_GT(moved, last) << model << ", strength " << strength;
      EXPECT_LT(moved, whole) << model << ", strength " << strength;
      last = moved;
    }
  }
}

}  // namespace
}  // namespace glyphscope
