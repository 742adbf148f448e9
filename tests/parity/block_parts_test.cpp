// Controls beside the prompt's K and V: the picture's own, and the MLPs, in the block of a site, taken from another row of the batch; against hooks on
// diffusers' modules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "patching/prompt_taps.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"

namespace glyphscope {
namespace {

using testing::failure_of;
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;
using testing::SmallDenoiser;

PatchPlan part_plan(int site, BlockPart part, int prompt = 1) { return PatchPlan({{.site = site, .part = part, .prompt = prompt}}); }

TEST(BlockParts, AreTakenFromTheOtherRow) {
  const SafetensorsFile expected(golden("block_parts.safetensors"));
  size_t checked = 0;
  for (const char* name : {"unet_sd1", "unet_sdxl", "unet_if1", "mmdit_sd35", "flux_dev", "z_image"}) {
    SmallDenoiser denoiser(name);
    const torch::Tensor plain = denoiser.call().to(torch::kCPU);
    for (const Site& site : denoiser.table().sites)
      for (const BlockPart part : {BlockPart::picture, BlockPart::mlp}) {
        const std::string key = std::string(name) + "." + to_string(part) + "." + std::to_string(site.index);
        SCOPED_TRACE(key);
        ASSERT_EQ(expected.entries().contains(key), part == BlockPart::picture ? site.has_picture_kv : site.has_mlp);
        if (!expected.entries().contains(key)) continue;
        const PatchPlan plan = part_plan(site.index, part);
        LockstepTaps taps(denoiser.table(), {{.plan = &plan, .sources = {{1, 1}}}, {}}, {});
        taps.begin_step(0);
        const torch::Tensor patched = denoiser.call(&taps).to(torch::kCPU);
        EXPECT_LT(relative_error(patched, expected.tensor(key)), 2e-5);
        EXPECT_GT((patched[0] - plain[0]).abs().max().item<double>(), 1e-4);
        ++checked;
      }
  }
  EXPECT_EQ(checked, expected.entries().size());
}

// Steps are the patch's: before and after, nothing is taken.
TEST(BlockParts, AreOfTheirSteps) {
  SmallDenoiser denoiser("unet_sd1");
  const PatchPlan plan({{.site = 2, .part = BlockPart::mlp, .prompt = 1, .from_step = 1, .to_step = 2}});
  LockstepTaps taps(denoiser.table(), {{.plan = &plan, .sources = {{1, 1}}}, {}}, {});
  const torch::Tensor plain = denoiser.call();
  for (const int step : {0, 1, 2}) {
    taps.begin_step(step);
    EXPECT_EQ(torch::equal(denoiser.call(&taps), plain), step != 1) << step;
  }
}

// In whole generations: automatic is lockstep; another way is refused, as are heads, and parts that a block does not have.
TEST(BlockParts, ArePartsOfAPlan) {
  const auto opened = open_model(golden("pipeline").string());
  ASSERT_TRUE(opened) << opened.error().message();
  Pipeline& model = **opened;
  Request request;
  request.prompts = {"a sign that says \"open\"", "a sign that says \"late\""};
  request.steps = 2;
  request.rows = {{0, 1, {}}, {1, 1, {}}, {0, 1, part_plan(1, BlockPart::picture)}, {0, 1, part_plan(1, BlockPart::mlp)}};
  EXPECT_EQ(model.resolve(request).method, PatchMethod::lockstep);
  const auto drawn = model.generate(request);
  ASSERT_TRUE(drawn) << drawn.error().message();
  for (const int row : {2, 3}) EXPECT_FALSE(torch::equal(drawn->latents[row], drawn->latents[0])) << row;
  const PatchPlan plan = part_plan(1, BlockPart::mlp);
  EXPECT_EQ(PatchPlan::from_json(nlohmann::json(plan.to_json())), plan);
  EXPECT_NE(plan, part_plan(1, BlockPart::prompt));
  request.method = PatchMethod::injection;
  EXPECT_THAT(failure_of([&] { model.validate(request); }), HasSubstr("in lockstep alone"));
  request.method = PatchMethod::automatic;
  request.rows[2].plan = PatchPlan({{.site = 1, .part = BlockPart::mlp, .prompt = 1, .heads = {0}}});
  EXPECT_THAT(failure_of([&] { model.validate(request); }), HasSubstr("not of the mlp"));
  const auto pixels = open_model(golden("pipeline_if").string());
  ASSERT_TRUE(pixels) << pixels.error().message();
  request.rows[2].plan = plan;
  EXPECT_THAT(failure_of([&] { (*pixels)->validate(request); }), HasSubstr("has no MLP"));
  EXPECT_THAT(failure_of([] { parse_block_part("nose"); }), HasSubstr("Known are prompt, picture and mlp"));
}

}  // namespace
}  // namespace glyphscope
