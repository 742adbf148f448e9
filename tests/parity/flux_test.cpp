// FLUX.1: its transformer and whole generations against diffusers; patched ones against attention processors that replay what they recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/flux.h"
#include "pipelines/pipeline.h"
#include "tests/support/joint_parity.h"
#include "tests/support/pipeline_reference.h"

namespace glyphscope {
namespace {
using testing::golden;

using FluxParity = testing::JointParity<Flux, FluxConfig>;
TEST_P(FluxParity, OutputEqualsTheReference) { expect_outputs(); }
TEST_P(FluxParity, RecordedKeysAndValuesAreTheReferences) { expect_recorded_keys_and_values(); }
TEST_P(FluxParity, PatchingInLockstepEqualsReplayingARecord) { expect_patched_in_lockstep(); }
TEST_P(FluxParity, TapsThatPatchNothingChangeNoBit) { expect_no_bit_changed_by_an_empty_plan(); }
INSTANTIATE_TEST_SUITE_P(Variants, FluxParity, ::testing::Values("flux_dev", "flux_schnell"));

TEST(Flux, WrongShapesAndConfigurationsAreNamed) {
  const Flux model(FluxConfig::parse(Config::read(golden("flux_dev") / "config.json")));
  const Conditioning right{.embedding = torch::zeros({2, 3, 28}), .pooled = torch::zeros({2, 16}), .guidance = torch::zeros({2})};
  auto message = [&](const torch::Tensor& sample, const Conditioning& c) { return testing::failure_of([&] { model.forward(sample, torch::zeros({2}), c); }); };
  const torch::Tensor sample = torch::zeros({2, 4, 4, 6});
  EXPECT_THAT(message(torch::zeros({2, 4, 3, 4}), right), ::testing::HasSubstr("even sides"));
  EXPECT_THAT(message(sample, {.embedding = torch::zeros({2, 3, 5}), .pooled = right.pooled, .guidance = right.guidance}),
              ::testing::HasSubstr("[2, tokens, 28]"));
  EXPECT_THAT(message(sample, {right.embedding}), ::testing::HasSubstr("pooled prompt must be [2, 16]"));
  EXPECT_THAT(message(sample, {right.embedding, right.pooled}), ::testing::HasSubstr("guidance must be [2]"));
  auto parse = [](const nlohmann::json& json) { return testing::failure_of([&] { FluxConfig::parse({json, "config.json"}); }); };
  EXPECT_THAT(parse({{"axes_dims_rope", {16, 56, 54}}}), ::testing::HasSubstr("attention_head_dim, 128"));
  EXPECT_THAT(parse({{"axes_dims_rope", {16, 57, 55}}}), ::testing::HasSubstr("57"));
  EXPECT_THAT(parse({{"in_channels", 384}, {"out_channels", 64}}), ::testing::HasSubstr("out_channels is 64"));
}

// Published: 19 double and 38 single blocks; 11.9 billion parameters, as diffusers counts those of its defaults with guidance.
TEST(Flux, ThePublishedConfigurationHas57Sites) {
  const Flux model(FluxConfig::parse({{{"guidance_embeds", true}}, "published"}));
  ASSERT_EQ(model.sites().sites.size(), 57u);
  EXPECT_EQ(model.sites().denoiser_parameters, 11'901'408'320);
  EXPECT_EQ(model.sites().sites[19].path, "single_transformer_blocks.0.attn");
}

struct FluxPipelineParity : testing::PipelineReference {
  void SetUp() override { load(golden("pipeline_flux")); }
};

TEST_F(FluxPipelineParity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
}

TEST_F(FluxPipelineParity, PatchedImageEqualsTheReferencesProcessor) { expect({0, 42, plan(), 0}, "patched"); }

// The guidance is a number that the model reads; nothing is denoised twice.
TEST_F(FluxPipelineParity, GuidanceCostsNoSecondPassAndActs) {
  const Result low = run({{0, 42, {}}});
  request.guidance = 6;
  const Result high = run({{0, 42, {}}});
  EXPECT_EQ(low.denoiser_calls, request.steps);
  EXPECT_GT(testing::relative_error(high.latents, low.latents), 1e-3);
  request.negative = "a cat";
  EXPECT_THAT(pipeline->generate(request).error().message(), ::testing::HasSubstr("no negative prompt"));
}

TEST_F(FluxPipelineParity, RowsMayBeBatchedInAnyWay) {
  const std::vector<Row> rows{{0, 42, {}}, {1, 42, {}}, {0, 42, plan()}, {0, 7, {}, 1}};
  const Result together = run(rows);
  request.rows_at_once = 1;
  EXPECT_LT(testing::relative_error(run(rows).latents, together.latents), 1e-4);
}

}  // namespace
}  // namespace glyphscope
