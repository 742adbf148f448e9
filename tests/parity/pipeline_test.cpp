// Whole generations against diffusers' StableDiffusionPipeline, patched ones against a custom attention processor; and
// the laws of patching on whole runs.
#include "pipelines/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"
#include "tests/support/golden.h"
#include "tests/support/pipeline_reference.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

struct PipelineParity : testing::PipelineReference {
  void SetUp() override {
    load(golden("pipeline"));
    request.negative = settings.value("negative_prompt", "");
  }
};

TEST_F(PipelineParity, ImagesEqualTheReference) {
  expect({0, 42, {}}, "a");
  expect({1, 42, {}}, "b");
  const Result both = run({{0, 42, {}}, {1, 42, {}}});
  EXPECT_LT(relative_error(both.latents.slice(0, 1, 2), expected->tensor("b.latents")), 1e-4);
}

TEST_F(PipelineParity, PatchedImageEqualsTheReferencesProcessor) {
  for (auto method : {PatchMethod::injection, PatchMethod::recording}) {
    request.method = method;
    expect({0, 42, PatchPlan::at_sites({2}, 1, 3)}, "patched");
  }
  EXPECT_GT(relative_error(expected->tensor("patched.latents"), expected->tensor("a.latents")), 1e-3) << "the reference's patch acts";
}

// At equal batch shape a row without a plan has the same bits whether the row beside it is patched or not.
TEST_F(PipelineParity, AnEmptyPlanChangesNoBit) {
  const Result plain = run({{0, 42, {}}, {1, 42, {}}, {0, 7, {}}}), beside = run({{0, 42, {}}, {1, 42, {}}, {0, 7, PatchPlan::at_sites({0, 2}, 1)}});
  EXPECT_TRUE(torch::equal(plain.latents.slice(0, 0, 2), beside.latents.slice(0, 0, 2)));
  EXPECT_TRUE(torch::equal(plain.images.slice(0, 0, 2), beside.images.slice(0, 0, 2)));
  EXPECT_FALSE(torch::equal(plain.latents[2], beside.latents[2])) << "the patch beside it acts";
}

TEST_F(PipelineParity, APlanThatNeverActsChangesNoBit) {
  const Result plain = run({{0, 42, {}}}), never = run({{0, 42, PatchPlan::at_sites({0, 1, 2, 3}, 1, 8)}});
  EXPECT_TRUE(torch::equal(plain.latents, never.latents));
}

TEST_F(PipelineParity, PatchingEverySiteFromTheStartGivesTheOtherImage) {
  const Result result = run({{1, 42, {}}, {0, 42, PatchPlan::at_sites({0, 1, 2, 3}, 1)}});
  EXPECT_LT(relative_error(result.latents[1], result.latents[0]), 1e-4);
}

TEST_F(PipelineParity, RowsMayBeBatchedInAnyWay) {
  const std::vector<Row> rows{{0, 42, {}},
                              {1, 3, PatchPlan::at_sites({1}, 0, 2)},
                              {0, 42, PatchPlan::at_sites({2}, 1)},
                              {0, 9, PatchPlan({{.site = 0, .prompt = 1, .heads = {1}, .streams = Streams::key}})}};
  const Result together = run(rows);
  request.rows_at_once = 1;
  const Result alone = run(rows);
  EXPECT_LT(relative_error(alone.latents, together.latents), 1e-4);
  EXPECT_EQ(alone.denoiser_calls, 4 * together.denoiser_calls);
}

TEST_F(PipelineParity, CancellingStopsWithinTheRun) {
  CancelToken cancel;
  int calls = 0;
  request.rows = {{0, 42, {}}};
  auto result = pipeline->generate(request,
                                   {.progress =
                                        [&](const Progress&) {
                                          if (++calls == 3) cancel.cancel();
                                        }},
                                   cancel);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  EXPECT_EQ(calls, 3);
}

TEST_F(PipelineParity, WrongRequestsAreNamed) {
  auto message = [&](const Request& wrong) {
    auto result = pipeline->generate(wrong);
    return result ? std::string() : result.error().message();
  };
  Request wrong = request;
  wrong.rows = {{0, 42, PatchPlan::at_sites({4}, 1)}};
  EXPECT_THAT(message(wrong), ::testing::HasSubstr("there is no site 4"));
  wrong.rows = {{0, 42, PatchPlan({{.site = 1, .prompt = 1, .heads = {99}}})}};
  EXPECT_THAT(message(wrong), ::testing::HasSubstr("has no head 99"));
  wrong.rows = {{2, 42, {}}};
  EXPECT_THAT(message(wrong), ::testing::HasSubstr("prompt 2"));
  wrong.rows = {{0, 42, {}}};
  wrong.width = 50;
  EXPECT_THAT(message(wrong), ::testing::HasSubstr("multiples of"));
  wrong = request;
  wrong.rows = {{0, 42, {}}};
  wrong.scheduler = "ddim3";
  EXPECT_THAT(message(wrong), ::testing::HasSubstr("unknown scheduler 'ddim3'"));
  wrong = request;
  wrong.rows = {{0, 42, PatchPlan::at_sites({1}, 1)}};
  wrong.method = PatchMethod::recording;
  wrong.record_budget = 16;
  EXPECT_THAT(message(wrong), ::testing::HasSubstr("the budget is 0 MiB"));
}

TEST_F(PipelineParity, LongPromptsSayWhatIsCut) {
  std::string longest;
  for (int i = 0; i < 40; ++i) longest += "sign ";
  request.prompts = {longest + "ending"};
  const Result result = run({{0, 42, {}}});
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_THAT(result.notes[0], ::testing::HasSubstr("ending\""));
}

TEST(RandomParity, NoiseIsPyTorchs) {
  const SafetensorsFile expected(golden("random.safetensors"));
  auto generator = make_generator(42);
  EXPECT_LT(relative_error(torch::randn({5}, generator), expected.tensor("seed42.first")), 1e-6);
  EXPECT_LT(relative_error(torch::randn({3, 4, 4}, generator), expected.tensor("seed42.second")), 1e-6);
  EXPECT_LT(relative_error(torch::randn({1, 4, 8, 8}, make_generator(0)), expected.tensor("seed0")), 1e-6);
}

}  // namespace
}  // namespace glyphscope
