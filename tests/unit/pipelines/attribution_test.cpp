#include "pipelines/attribution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/safetensors.h"
#include "io/weights.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

using ::testing::HasSubstr;

Request two_prompts() {
  Request out;
  out.prompts = {"says \"one\"", "forty blue ships at night \"two\""};
  out.rows = {{0, 42, {}}};
  out.steps = 3;
  out.guidance = 3;
  return out;
}

// At one step, from no patch on.
AttributionOptions brief() {
  AttributionOptions out;
  out.at = {0.5};
  out.strengths = {0};
  return out;
}

std::shared_ptr<Pipeline> opened(const std::string& name) {
  const auto model = open_model(testing::golden(name).string());
  EXPECT_TRUE(model) << model.error().message();
  return *model;
}

struct OfUNets : ::testing::TestWithParam<const char*> {};

// Along the way from no patch to all sites patched, which is B's prediction in a U-Net, the effects of all sites add up to all of it.
TEST_P(OfUNets, EffectsAddUpToTheWhole) {
  AttributionOptions options;
  options.strengths.clear();
  constexpr int kPoints = 24;
  for (int i = 0; i < kPoints; ++i) options.strengths.push_back((i + 0.5) / kPoints);
  const auto found = opened(GetParam())->attribute(two_prompts(), options);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_NEAR(found->effects.sum().item<double>(), 1, 0.02);
}

INSTANTIATE_TEST_SUITE_P(Families, OfUNets, ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_if", "pipeline_ldm/kl"));

struct OfAll : ::testing::TestWithParam<const char*> {};

// A site whose output goes nowhere has no effect; the others are what they were, in the pass as in the order of its calls.
TEST_P(OfAll, ASiteThatCannotActHasNone) {
  const auto whole = opened(GetParam());
  const auto before = whole->attribute(two_prompts(), brief());
  ASSERT_TRUE(before) << before.error().message();
  EXPECT_EQ(before->effects.size(0), static_cast<std::int64_t>(whole->info().table.sites.size()));
  EXPECT_GT(before->effects.abs().max().item<double>(), 0);
  // The same again, to the bit: nothing of a backward pass stays.
  EXPECT_TRUE(torch::equal(whole->attribute(two_prompts(), brief())->effects, before->effects));
  Request reverse = two_prompts();
  reverse.rows = {{1, 42, {}}};
  EXPECT_FALSE(torch::equal(whole->attribute(reverse, brief())->effects, before->effects));

  const testing::TemporaryFolder folder;
  std::filesystem::copy(testing::golden(GetParam()), folder / "model", std::filesystem::copy_options::recursive);
  const bool unet = std::filesystem::exists(folder / "model/unet");
  const std::filesystem::path file =
      folder / (unet ? "model/unet/diffusion_pytorch_model.safetensors" : "model/transformer/diffusion_pytorch_model.safetensors");
  ASSERT_TRUE(std::filesystem::exists(file)) << file;
  const Site& site = whole->info().table.sites.front();
  std::map<std::string, torch::Tensor> tensors;
  {
    const SafetensorsFile read(file);
    for (const auto& [name, _] : read.entries()) {
      tensors[name] = read.tensor(name).clone();
      for (const auto& projection : site.projections)
        if (name.starts_with(site.path + "." + projection)) tensors[name].zero_();
    }
  }
  write_safetensors(file, tensors);
  const auto cut = open_model((folder / "model").string());
  ASSERT_TRUE(cut) << cut.error().message();
  const auto after = (*cut)->attribute(two_prompts(), brief());
  ASSERT_TRUE(after) << after.error().message();
  EXPECT_EQ(after->effects[0].abs().max().item<double>(), 0) << "its K and V are those of any prompt";
  EXPECT_GT(after->effects.abs().max().item<double>(), 0);
}

// What is drawn after a gradient was taken is what was drawn before.
TEST_P(OfAll, PicturesStayAsTheyAre) {
  const auto model = opened(GetParam());
  const auto before = model->generate(two_prompts());
  ASSERT_TRUE(before) << before.error().message();
  ASSERT_TRUE(model->attribute(two_prompts(), brief()));
  EXPECT_TRUE(torch::equal(model->generate(two_prompts())->images, before->images));
}

// Towards a score that grows as the picture becomes B's, by as many grey values: of one step, whose picture is what the denoiser says, all sites together go
// that way, whatever the model predicts (noise, velocity, a flow).
TEST_P(OfAll, GradientsTowardsAScoreOfThePicture) {
  const auto model = opened(GetParam());
  Request request = two_prompts();
  request.steps = 1;
  request.width = request.height = 4 * model->info().size_multiple;  // the default is large in some families
  double sum = 0;                                                    // small models change little of a picture, whose grey values are whole numbers
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    request.rows = {{0, seed, {}}};
    Request both = request;
    both.rows.push_back({1, seed, {}, 0});  // the pooled prompt stays
    const auto drawn = model->generate(both);
    ASSERT_TRUE(drawn) << drawn.error().message();
    AttributionOptions options;
    options.at = {0};
    options.pixels = drawn->images[1].to(torch::kFloat32) - drawn->images[0].to(torch::kFloat32);
    const auto towards = [&] {
      const auto found = model->attribute(request, options);
      EXPECT_TRUE(found) << found.error().message();
      return found->effects.sum().item<double>();
    };
    const double whole = towards();
    sum += whole / 4;
    EXPECT_LT(whole, 1.5) << "all of the change being towards the score is 1";
    options.pixels = -7 * options.pixels;
    EXPECT_NEAR(towards(), -whole, 1e-3 * std::abs(whole)) << "its unit does not matter";
  }
  EXPECT_GT(sum, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Families, OfAll,
                         ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_if", "pipeline_ldm/kl", "pipeline_sd3", "pipeline_flux", "pipeline_z_image"));

TEST(Attribution, WhatItCannotDoIsSaid) {
  const auto model = opened("pipeline");
  Request three = two_prompts();
  three.prompts.emplace_back("a third");
  EXPECT_THAT(model->attribute(three, brief()).error().message(), HasSubstr("towards another prompt"));
}

// No gradient comes through a codebook: then the denoiser's prediction decides, as without a score.
TEST(Attribution, OfAPictureBehindACodebookIsThePredictions) {
  const auto model = opened("pipeline_ldm/vq");
  AttributionOptions towards = brief();
  const auto expected = model->attribute(two_prompts(), towards);
  ASSERT_TRUE(expected) << expected.error().message();
  const auto size = model->resolve(two_prompts());
  towards.pixels = torch::ones({3, size.height, size.width});
  EXPECT_TRUE(torch::equal(model->attribute(two_prompts(), towards)->effects, expected->effects));
}

// Prompts that are the same have nothing to tell.
TEST(Attribution, OfTheSamePromptIsNothing) {
  Request same = two_prompts();
  same.prompts[1] = same.prompts[0];
  const auto found = opened("pipeline")->attribute(same, brief());
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->effects.abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace glyphscope
