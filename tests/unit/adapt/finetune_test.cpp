#include "adapt/finetune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapt/lora_file.h"
#include "core/random.h"
#include "io/files.h"
#include "io/image_file.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using testing::golden;
using ::testing::HasSubstr;

// Pictures of two shapes, in one colour each, which the caption names.
fs::path make_pictures(const testing::TemporaryFolder& folder, int count = 10) {
  const fs::path out = folder / "pictures";
  fs::create_directories(out);
  for (int i = 0; i < count; ++i) {
    torch::Tensor image = torch::full({3, 32, i % 3 == 0 ? 48 : 32}, 15 * i, torch::kUInt8);
    image[i % 3].fill_(255);
    write_png(out / (std::to_string(i) + ".png"), image);
    write_text(out / (std::to_string(i) + ".txt"), i % 2 ? "a red sign" : "a blue sign that says open");
  }
  return out;
}

FinetuneSettings settings() {
  FinetuneSettings out;
  out.plan = {.sites = {0, 1}, .rank = 2};
  out.steps = 8;
  out.batch = 2;
  out.accumulate = 2;
  out.rate = 5e-3;
  out.resolution = 32;
  out.dropout = 0.1;
  out.held_out = 0.3;
  out.save_every = 3;
  out.evaluate_every = 4;
  return out;
}

struct Finetune : ::testing::TestWithParam<const char*> {
  std::shared_ptr<Pipeline> open() {
    const auto opened = open_model(golden(GetParam()).string());
    EXPECT_TRUE(opened) << opened.error().message();
    return *opened;
  }
  FinetuneSettings chosen() const {
    FinetuneSettings out = settings();
    if (std::string(GetParam()) == "pipeline_if") out.resolution = 8;
    return out;
  }
};

// Stopped at a step of its own and gone on with, by a second pipeline, the adapter is the same to the bit; and the model is untouched.
TEST_P(Finetune, ResumesToTheBit) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), settings().held_out);
  ASSERT_FALSE(pictures.held_out.empty());
  const auto pipeline = open();
  Request request;
  request.prompts = {"a red sign"};
  request.rows = {{0, 1, {}}};
  request.steps = 2;
  const auto plain = pipeline->generate(request);
  ASSERT_TRUE(plain) << plain.error().message();
  const FinetuneResult whole = finetune(*pipeline, pictures, chosen(), folder / "whole", false, {}, {});
  EXPECT_TRUE(torch::equal(pipeline->generate(request)->images, plain->images));
  EXPECT_TRUE(torch::equal(pipeline->generate(request)->latents, plain->latents));
  EXPECT_EQ(whole.trained, whole.lora.parameters());
  ASSERT_TRUE(whole.best_held_out);

  const CancelToken cancel;
  FinetuneObserver stop;
  stop.step = [&](const FinetuneProgress& p) {
    if (p.step == 4) cancel.cancel();
  };
  const auto stopped = attempt([&] { return finetune(*open(), pictures, chosen(), folder / "parts", false, stop, cancel); });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_THAT(testing::failure_of([&] { finetune(*open(), pictures, chosen(), folder / "parts", false, {}, {}); }), HasSubstr("--resume"));
  const FinetuneResult parts = finetune(*open(), pictures, chosen(), folder / "parts", true, {}, {});
  bool moved = false;
  for (const auto& [path, layer] : whole.lora.layers) {
    EXPECT_TRUE(torch::equal(layer.a, parts.lora.layers.at(path).a)) << path;
    EXPECT_TRUE(torch::equal(layer.b, parts.lora.layers.at(path).b)) << path;
    moved |= layer.b.abs().max().item<double>() > 0;
  }
  EXPECT_TRUE(moved) << "nothing was learned";
  EXPECT_EQ(whole.best_held_out, parts.best_held_out);

  EXPECT_EQ(read_text(folder / "whole/training.csv").find("step,loss,held_out_loss,learning_rate\n0,,"), 0u);
  EXPECT_EQ(read_text(folder / "whole/training.csv"), read_text(folder / "parts/training.csv"));

  // The file holds what was trained, and says of what.
  std::vector<std::string> notes;
  const Lora file = read_lora(folder / "parts/last.safetensors", pipeline->denoiser_module(), pipeline->info().table, notes);
  for (const auto& [path, layer] : whole.lora.layers) EXPECT_TRUE(torch::equal(layer.b, file.layers.at(path).b)) << path;
  EXPECT_EQ(file.metadata.at("model_hash"), pipeline->info().hash);

  FinetuneSettings other = chosen();
  other.rate *= 2;
  EXPECT_THAT(testing::failure_of([&] { finetune(*open(), pictures, other, folder / "parts", true, {}, {}); }), HasSubstr("other settings"));
}

INSTANTIATE_TEST_SUITE_P(Families, Finetune, ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_flux", "pipeline_if", "pipeline_ldm/kl"));

// Half the pictures of one colour, learned for a while: the held-out loss falls.
TEST(FinetuneLoss, FallsOnHeldOutPictures) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder, 16), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.plan.every_attention = true;
  chosen.plan.rank = 4;
  chosen.steps = 60;
  chosen.evaluate_every = 10;
  std::vector<double> losses;
  FinetuneObserver observer;
  observer.step = [&](const FinetuneProgress& p) {
    if (p.held_out) losses.push_back(*p.held_out);
  };
  finetune(**opened, pictures, chosen, folder / "out", false, observer, {});
  ASSERT_EQ(losses.size(), 6u);
  EXPECT_LT(losses.back(), 0.98 * losses.front());
}

// Encoded once: a second training finds pictures and captions in its cache, and a damaged one is made anew.
TEST(FinetuneCache, IsAddressedByContent) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  FinetuneSettings chosen = settings();
  chosen.steps = 2;
  const Lora first = finetune(**opened, pictures, chosen, folder / "out", false, {}, {}).lora;
  auto files = [&] {
    std::map<std::string, fs::file_time_type> out;
    for (const auto& entry : fs::directory_iterator(folder / "out/cache")) out[entry.path().filename()] = entry.last_write_time();
    return out;
  };
  const auto before = files();
  EXPECT_GT(before.size(), pictures.train.size());
  fs::remove_all(folder / "out/checkpoint");
  write_text(folder.path() / "out/cache" / before.begin()->first, "damaged");
  const Lora again = finetune(**opened, pictures, chosen, folder / "out", false, {}, {}).lora;
  const auto after = files();
  EXPECT_EQ(after.size(), before.size());
  int rewritten = 0;
  for (const auto& [name, time] : after) rewritten += time != before.at(name);
  EXPECT_EQ(rewritten, 1);
  for (const auto& [path, layer] : first.layers) EXPECT_TRUE(torch::equal(layer.b, again.layers.at(path).b));
}

TEST(FinetuneErrors, AreSentences) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = read_picture_set(make_pictures(folder), 0.3);
  const auto opened = open_model(golden("pipeline").string());
  auto error = [&](const FinetuneSettings& chosen, Pipeline& pipeline, const std::string& out) {
    return testing::failure_of([&] { finetune(pipeline, pictures, chosen, folder / out, false, {}, {}); });
  };
  FinetuneSettings chosen = settings();
  chosen.resolution = 30;
  EXPECT_THAT(error(chosen, **opened, "a"), HasSubstr("--resolution"));
  chosen = settings();
  chosen.rate = 1e30;  // the second step's loss is not a number
  EXPECT_THAT(error(chosen, **opened, "b"), HasSubstr("not a number at step"));
  const auto second = open_model(golden("pipeline_if2").string());
  EXPECT_THAT(error(settings(), **second, "c"), HasSubstr("prompt alone"));
  PictureSet none;
  none.held_out = pictures.held_out;
  EXPECT_THAT(testing::failure_of([&] { finetune(**opened, none, settings(), folder / "d", false, {}, {}); }), HasSubstr("every picture is held out"));
}

TEST(RateSchedules, AreDiffusers) {
  EXPECT_EQ(learning_rate(1, RateSchedule::constant, 0, 4, 10), 0);
  EXPECT_EQ(learning_rate(1, RateSchedule::constant, 2, 4, 10), 0.5);
  EXPECT_EQ(learning_rate(1, RateSchedule::constant, 9, 4, 10), 1);
  EXPECT_NEAR(learning_rate(2, RateSchedule::linear, 7, 4, 10), 1, 1e-12);
  EXPECT_NEAR(learning_rate(2, RateSchedule::cosine, 7, 4, 10), 1, 1e-12);
  EXPECT_NEAR(learning_rate(2, RateSchedule::cosine, 4, 4, 10), 2, 1e-12);
  EXPECT_THAT(testing::failure_of([] { parse_rate_schedule("step"); }), HasSubstr("cosine"));
}

}  // namespace
}  // namespace glyphscope
