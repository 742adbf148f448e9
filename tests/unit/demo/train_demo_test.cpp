#include "demo/train_demo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "demo/loss_curve.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {

// Of all weights of a model.
std::string hashes(const std::filesystem::path& model) {
  std::string out;
  for (const char* folder : {"vae", "text_encoder", "text_encoder_3", "unet", "transformer"})
    for (const char* file : {"diffusion_pytorch_model.safetensors", "model.safetensors"})
      if (std::filesystem::exists(model / folder / file)) out += sha256_file(model / folder / file) + "\n";
  return out;
}

// Whether all weights are equal; a zero has no sign.
void expect_equal_weights(const std::filesystem::path& model, const std::filesystem::path& expected) {
  for (const char* folder : {"vae", "text_encoder", "text_encoder_3", "unet", "transformer"})
    for (const char* file : {"diffusion_pytorch_model.safetensors", "model.safetensors"}) {
      if (!std::filesystem::exists(expected / folder / file)) continue;
      const SafetensorsFile got(model / folder / file), wanted(expected / folder / file);
      ASSERT_EQ(got.entries().size(), wanted.entries().size()) << folder;
      for (const auto& [key, entry] : wanted.entries()) EXPECT_TRUE(torch::equal(got.tensor(key), wanted.tensor(key))) << folder << " " << key;
    }
}

struct TrainDemoOf : ::testing::TestWithParam<const char*> {};

// Stops before each step in turn, in either stage: every run must end in the same bits.
TEST_P(TrainDemoOf, StoppedAtAnyStepAndResumedEqualsUninterrupted) {
  testing::TemporaryFolder folder;
  DemoRecipe recipe = demo_recipe(GetParam(), true);
  recipe.device = testing::test_device();
  const auto ignore = [](const DemoProgress&) {};
  train_demo(recipe, folder / "whole", false, ignore, {});
  const std::string expected = hashes(folder / "whole" / "model");
  for (std::int64_t step : {1, 3, 4}) {
    const auto out = folder / ("stopped" + std::to_string(step));
    CancelToken cancel;
    auto stop = [&](const char* stage) {
      return [&cancel, stage, step](const DemoProgress& p) {
        if (p.stage == stage && p.step == step) cancel.cancel();
      };
    };
    if (!recipe.autoencoder.is_null()) {
      EXPECT_THROW(train_demo(recipe, out, false, stop("autoencoder"), cancel), Failure);
      cancel = CancelToken();
    }
    EXPECT_THROW(train_demo(recipe, out, true, stop("denoiser"), cancel), Failure);
    train_demo(recipe, out, true, ignore, {});
    EXPECT_EQ(hashes(out / "model"), expected) << step;
  }
}

TEST(TrainDemo, ANewRunDoesNotOverwriteCheckpoints) {
  testing::TemporaryFolder folder;
  const DemoRecipe recipe = demo_recipe("sign-unet", true);
  train_demo(recipe, folder / "out", false, [](const DemoProgress&) {}, {});
  EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "out", false, [](const DemoProgress&) {}, {}); }), ::testing::HasSubstr("\u2039resume"));
}

TEST(TrainDemo, CheckpointsOfAnotherRecipeAreLeftAlone) {
  testing::TemporaryFolder folder;
  DemoRecipe recipe = demo_recipe("sign-unet", true);
  const auto ignore = [](const DemoProgress&) {};
  train_demo(recipe, folder / "out", false, ignore, {});
  const std::string before = hashes(folder / "out" / "model");
  recipe.seed = 2;
  EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "out", true, ignore, {}); }), ::testing::HasSubstr("another recipe, seed"));
  EXPECT_EQ(hashes(folder / "out" / "model"), before);
  std::filesystem::remove_all(folder / "out" / "checkpoint");
  for (bool resume : {false, true})
    EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "out", resume, ignore, {}); }), ::testing::HasSubstr("checkpoints are gone"));
  EXPECT_EQ(hashes(folder / "out" / "model"), before);
}

TEST(TrainDemo, ItsLossCurveGoesOnWhereTheCheckpointIs) {
  testing::TemporaryFolder folder;
  DemoRecipe recipe = demo_recipe("sign-unet", true);
  const auto ignore = [](const DemoProgress&) {};
  auto steps = [&] {
    std::vector<std::pair<std::string, std::int64_t>> out;
    const LossCurve curve(folder / "out" / "training.csv", 2);
    for (const auto& point : curve.points()) out.emplace_back(point.stage, point.step);
    return out;
  };
  recipe.denoiser_steps = 4;
  train_demo(recipe, folder / "out", false, ignore, {});
  const std::vector<std::pair<std::string, std::int64_t>> first{{"autoencoder", 2}, {"autoencoder", 4}, {"autoencoder", 6}, {"denoiser", 2}, {"denoiser", 4}};
  EXPECT_EQ(steps(), first);
  recipe.denoiser_steps = 6;
  train_demo(recipe, folder / "out", true, ignore, {});
  auto second = first;
  second.emplace_back("denoiser", 6);
  EXPECT_EQ(steps(), second);
  EXPECT_TRUE(std::filesystem::exists(folder / "out" / "denoiser-loss.png"));
  write_text(folder / "out" / "training.csv", "something else\n");
  EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "out", true, ignore, {}); }), ::testing::HasSubstr("no table of losses"));
}

TEST_P(TrainDemoOf, StartsFromTheWeightsOfAnotherModel) {
  testing::TemporaryFolder folder;
  DemoRecipe recipe = demo_recipe(GetParam(), true);
  recipe.data.styles = SignStyles::plain;
  const auto ignore = [](const DemoProgress&) {};
  train_demo(recipe, folder / "first", false, ignore, {});
  recipe.data.styles = SignStyles::varied;
  recipe.init = folder / "first" / "model";
  // Rates of nothing: what comes out is what went in, but for the rounding of fp16 to fp32 and back, which is exact.
  recipe.autoencoder_rate = recipe.denoiser_rate = 0;
  train_demo(recipe, folder / "second", false, ignore, {});
  expect_equal_weights(folder / "second" / "model", folder / "first" / "model");
  const auto written = read_json(folder / "second" / "model" / "recipe.json");
  EXPECT_EQ(written.at("data").at("styles"), "varied");
  EXPECT_EQ(written.at("init").at("data").at("styles"), "plain");

  if (const auto vocabulary = folder / "first" / "model" / "tokenizer" / "vocab.json"; std::filesystem::exists(vocabulary)) {
    write_text(vocabulary, "{}");
    EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "third", false, ignore, {}); }), ::testing::HasSubstr("another vocabulary"));
  }
  recipe.init = folder / "nowhere";
  EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "fourth", false, ignore, {}); }), ::testing::HasSubstr("nowhere"));
}

TEST(TrainDemo, UnknownNamesAreListed) {
  EXPECT_THAT(testing::failure_of([] { demo_recipe("sign-x"); }), ::testing::HasSubstr("sign-unet"));
}

TEST_P(TrainDemoOf, ItsModelOpensAndDraws) {
  testing::TemporaryFolder folder;
  DemoRecipe recipe = demo_recipe(GetParam(), true);
  recipe.device = testing::test_device();
  train_demo(recipe, folder / "out", false, [](const DemoProgress&) {}, {});
  const auto opened = open_model((folder / "out" / "model").string());
  ASSERT_TRUE(opened) << opened.error().message();
  Request request;
  request.prompts = {"a round red sign that says \"LOVE\" on a blue wall"};
  request.rows = {{0, 42, {}}};
  request.steps = 2;
  const auto result = (*opened)->generate(request);
  ASSERT_TRUE(result) << result.error().message();
  const std::int64_t side = demo_recipe(GetParam()).data.side;
  EXPECT_EQ(result->images.sizes(), (std::vector<std::int64_t>{1, 3, side, side}));
  EXPECT_THAT(result->notes, ::testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Families, TrainDemoOf, ::testing::Values("sign-unet", "sign-mmdit", "sign-pixel"),
                         [](const auto& info) { return std::string(info.param).substr(std::string("sign-").size()); });

TEST(TrainDemo, TheAutoencoderOfAnotherModelIsTakenAsItIs) {
  testing::TemporaryFolder folder;
  const auto ignore = [](const DemoProgress&) {};
  DemoRecipe recipe = demo_recipe("sign-mmdit", true);
  recipe.autoencoder_from = testing::tiny_model();
  train_demo(recipe, folder / "out", false, [](const DemoProgress& p) { EXPECT_NE(p.stage, "autoencoder"); }, {});
  EXPECT_EQ(sha256_file(folder / "out" / "model" / "vae" / "diffusion_pytorch_model.safetensors"),
            sha256_file(testing::tiny_model() / "vae" / "diffusion_pytorch_model.safetensors"));
  recipe.autoencoder_from = folder / "nowhere";
  EXPECT_THAT(testing::failure_of([&] { train_demo(recipe, folder / "other", false, ignore, {}); }), ::testing::HasSubstr("nowhere"));
}

}  // namespace
}  // namespace glyphscope
