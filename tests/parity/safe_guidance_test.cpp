// Safe Latent Diffusion's guidance against diffusers' StableDiffusionPipelineSafe.
#include "pipelines/safe_guidance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;

TEST(SafeGuidanceParity, EveryCallEqualsTheReference) {
  const SafetensorsFile expected(golden("safe_guidance.safetensors"));
  SafeGuidance settings;
  settings.warmup = 2;
  SafeGuidanceRun run(settings);
  for (int call = 0; call < 6; ++call) {
    const torch::Tensor outputs = expected.tensor("outputs." + std::to_string(call));
    EXPECT_LT(testing::relative_error(run.guide(outputs[0], outputs[1], outputs[2], call), expected.tensor("guidance." + std::to_string(call))), 1e-6) << call;
  }
}

TEST(SafeGuidance, ActsAfterItsWarmUpAlone) {
  const auto pipeline = *open_model(golden("pipeline").string());
  Request request;
  request.prompts = {"a red sign"};
  request.rows = {{0, 7, {}}};
  request.steps = 4;
  const auto plain = pipeline->generate(request);
  request.safe = SafeGuidance{"text \"sign\""};
  request.safe->warmup = 4;
  const auto waiting = pipeline->generate(request);
  ASSERT_TRUE(plain && waiting);
  EXPECT_LT(testing::relative_error(waiting->latents, plain->latents), 1e-4);  // in batches of three rows, not two
  EXPECT_EQ(waiting->denoiser_rows, 3 * 4);
  EXPECT_EQ(plain->denoiser_rows, 2 * 4);
  request.safe->warmup = 1;
  EXPECT_GT(testing::relative_error(pipeline->generate(request)->latents, plain->latents), 1e-2);
  request.guidance = 1;
  EXPECT_THAT(pipeline->generate(request).error().message(), HasSubstr("over 1"));
  request.guidance = 3;
  request.rows[0].plan = PatchPlan::at_sites({0}, 0);
  EXPECT_THAT(pipeline->generate(request).error().message(), HasSubstr("patch plan"));
}

}  // namespace
}  // namespace glyphscope
