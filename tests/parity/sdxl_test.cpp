// Stable Diffusion XL: whole generations against diffusers' StableDiffusionXLPipeline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/files.h"
#include "models/unet.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/pipeline_reference.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

struct SdxlParity : testing::PipelineReference {
  void SetUp() override { load(golden("pipeline_sdxl")); }
};

TEST_F(SdxlParity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
}

// Without a negative prompt the unconditional half is zeros, with one it is encoded.
TEST_F(SdxlParity, ANegativePromptEqualsTheReference) {
  request.negative = request.prompts[1];
  expect({0, 42, {}}, "negative");
}

// An empty one is encoded too; only where there is none at all are there zeros.
TEST_F(SdxlParity, AnEmptyNegativePromptEqualsTheReference) {
  request.negative = "";
  expect({0, 42, {}}, "empty_negative");
}

TEST_F(SdxlParity, ClipSkipEqualsTheReference) {
  request.clip_skip = 1;
  expect({0, 42, {}}, "clip_skip");
}

TEST_F(SdxlParity, PatchedImageEqualsTheReferencesProcessor) {
  for (auto method : {PatchMethod::injection, PatchMethod::recording}) {
    request.method = method;
    expect({0, 42, plan()}, "patched");
  }
}

TEST_F(SdxlParity, ThePooledPromptIsChosenApart) { expect({0, 42, {}, 1}, "pooled_b"); }

// Every site and the pooled prompt: nothing of A is left.
TEST_F(SdxlParity, PatchingEverySiteAndThePooledPromptGivesTheOtherImage) {
  std::vector<int> all;
  for (const auto& site : pipeline->info().table.sites) all.push_back(site.index);
  const Result result = run({{1, 42, {}}, {0, 42, PatchPlan::at_sites(all, 1), 1}, {0, 42, PatchPlan::at_sites(all, 1)}});
  EXPECT_LT(relative_error(result.latents[1], result.latents[0]), 1e-4);
  EXPECT_GT(relative_error(result.latents[2], result.latents[0]), 1e-3) << "A's pooled prompt still acts";
}

TEST_F(SdxlParity, SitesAreInForwardOrder) {
  const auto paths = settings.at("site_paths");
  ASSERT_EQ(paths.size(), pipeline->info().table.sites.size());
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(pipeline->info().table.sites[i].path, paths[i].get<std::string>());
}

TEST_F(SdxlParity, EncodersThatDoNotFitAreNamed) {
  testing::TemporaryFolder folder;
  std::filesystem::copy(golden("pipeline_sdxl"), folder / "model", std::filesystem::copy_options::recursive);
  auto index = read_json(folder / "model" / "model_index.json");
  index["text_encoder"] = {nullptr, nullptr};
  write_json(folder / "model" / "model_index.json", index);
  const auto opened = open_model((folder / "model").string());
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), ::testing::HasSubstr("text encoders write is 8, the U-Net reads 24"));
}

// The published configuration: 70 cross-attention layers, of which the paper (arXiv 2502.09935) finds 55 to 57, 0.61 % of the
// parameters. Weights are allocated and never touched.
TEST(Sdxl, ThePublishedConfigurationHasThePapersSites) {
  const UNet unet(UNetConfig::parse(Config::read(golden("../../configs/sdxl/unet/config.json"))));
  const SiteTable& table = unet.sites();
  EXPECT_EQ(table.denoiser_parameters, 2'567'463'684);
  ASSERT_EQ(table.sites.size(), 70u);
  for (int i : {55, 56, 57})
    EXPECT_EQ(table.sites[static_cast<size_t>(i)].path, "up_blocks.0.attentions.2.transformer_blocks." + std::to_string(i - 54) + ".attn2");
  EXPECT_EQ(table.sites[0].kohya, "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2");
  EXPECT_EQ(table.sites[24].kohya, "lora_unet_middle_block_1_transformer_blocks_0_attn2");
  EXPECT_EQ(table.sites[55].kohya, "lora_unet_output_blocks_2_1_transformer_blocks_1_attn2");
  EXPECT_NEAR(table.share({55, 56, 57}), 0.0061, 0.00005);
}

}  // namespace
}  // namespace glyphscope
