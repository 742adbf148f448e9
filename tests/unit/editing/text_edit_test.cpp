#include "editing/text_edit.h"

#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <atomic>
#include <cmath>
#include <tuple>

#include "core/random.h"
#include "demo/signs.h"
#include "editing/paste_back.h"
#include "io/config.h"
#include "registry/open_model.h"
#include "schedulers/scheduler.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;
using testing::relative_error;

// Finds the same text in every picture.
struct FindsBox : TextReader {
  std::vector<TextPiece> read(const torch::Tensor&) override { return {{"OPEN", 1, {8, 4, 20, 12}}}; }
  std::string name() const override { return "told"; }
};

const char* const kSource = "a sign that says \"OPEN\"";
const char* const kTarget = "a sign that says \"SHUT\"";

struct Model {
  explicit Model(const char* name) : pipeline(*open_model(golden(name).string())) {}
  Request request(std::int64_t steps, const std::string& scheduler = "") const {
    Request out;
    out.prompts = {kSource, kTarget};
    out.steps = steps;
    out.scheduler = scheduler;
    return out;
  }
  Result draw(Request request, std::vector<Row> rows) const {
    request.rows = std::move(rows);
    auto result = pipeline->generate(request);
    if (!result) throw Failure(result.error());
    return *result;
  }
  std::shared_ptr<Pipeline> pipeline;
};

// Whatever a scheduler remembers or draws: a row that has gone another's way until a step goes on as that one did, to the bit.
TEST(Trajectory, CanBeLeftAtAnyStepOfAnyScheduler) {
  for (const auto& [name, schedulers] : std::vector<std::pair<const char*, std::vector<std::string>>>{
           {"pipeline", {"ddim", "ddpm", "euler", "pndm", "dpm++"}}, {"pipeline_if", {"", "dpm++"}}, {"pipeline_sd3", {""}}}) {
    const Model model(name);
    for (const auto& scheduler : schedulers) {
      Request request = model.request(6, scheduler);
      request.keep_paths = true;
      const Result source = model.draw(request, {{0, 7, {}}});
      ASSERT_EQ(source.paths.size(), 1U);
      EXPECT_TRUE(source.paths[0]->latents.back().equal(source.latents[0]));
      for (const std::int64_t leaves : {1, 3, 6}) {
        const Result again = model.draw(request, {{0, 7, {}, -1, {source.paths[0], leaves, {}}}});
        EXPECT_TRUE(again.latents.equal(source.latents)) << name << " " << scheduler << " " << leaves;
        EXPECT_EQ(again.denoiser_calls, 6 - leaves) << name << " " << scheduler << " " << leaves;
      }
    }
  }
}

// The edit that goes the source's way until its patch acts is the one that is patched from there on, and costs only what is left.
TEST(Trajectory, SparesTheStepsBeforeThePatch) {
  const Model model("pipeline");
  Request request = model.request(6);
  request.keep_paths = true;
  const PatchPlan plan = PatchPlan::at_sites({0, 2}, 1, 4);
  const Result source = model.draw(request, {{0, 7, {}}}), whole = model.draw(request, {{0, 7, plan}});
  const Result spared = model.draw(request, {{0, 7, plan, -1, {source.paths[0], 4, {}}}});
  EXPECT_TRUE(spared.latents.equal(whole.latents));
  EXPECT_FALSE(spared.latents.equal(source.latents)) << "the patch acts";
  EXPECT_LE(3 * spared.denoiser_rows, whole.denoiser_rows + 2);
}

TEST(Trajectory, OfAnotherRunIsRefused) {
  const Model model("pipeline");
  Request request = model.request(4);
  request.keep_paths = true;
  const auto path = model.draw(request, {{0, 7, {}}}).paths[0];
  const auto refusal = [&](Request other, Following follow) {
    other.rows = {{0, 7, {}, -1, std::move(follow)}};
    const auto result = model.pipeline->generate(other);
    return result ? "" : result.error().what;
  };
  EXPECT_THAT(refusal(model.request(5), {path, 1, {}}), HasSubstr("another number of steps"));
  Request wide = model.request(4);
  wide.width = 2 * model.pipeline->info().default_width;
  EXPECT_THAT(refusal(wide, {path, 1, {}}), HasSubstr("another number of steps, scheduler or size"));
  EXPECT_THAT(refusal(model.request(4), {path, 1, torch::ones({3, 3})}), HasSubstr("mask"));
  const auto inverted = std::make_shared<Trajectory>(*path);
  inverted->outputs.clear();
  EXPECT_THAT(refusal(model.request(4, "euler"), {inverted, 1, {}}), HasSubstr("only ddim, flow and edm"));
}

// In lockstep, where the denoiser is asked for all rows of a batch as one of them needs it.
TEST(Trajectory, IsFollowedInLockstepToo) {
  const Model model("pipeline_sd3");
  Request request = model.request(5);
  request.keep_paths = true;
  const PatchPlan plan = PatchPlan::at_sites({0}, 1, 3);
  const auto path = model.draw(request, {{0, 7, {}}}).paths[0];
  const Result whole = model.draw(request, {{0, 7, plan}}), followed = model.draw(request, {{0, 7, plan, -1, {path, 3, {}}}});
  EXPECT_LT(relative_error(followed.latents, whole.latents), 1e-4);
  EXPECT_EQ(followed.denoiser_rows, whole.denoiser_rows);
}

TEST(Mask, KeepsEveryBitOutsideIt) {
  const Model model("pipeline");
  EditSettings settings;
  settings.source = kSource;
  settings.sampling = model.pipeline->resolve(model.request(4));
  settings.sampling.prompts.clear();
  FindsBox reader;
  const auto quiet = [](const Progress&) {};
  const EditSource source = draw_source(*model.pipeline, settings, reader, quiet, {});
  const EditMask where{Box{4, 4, 12, 12}, 3};
  const EditVariant variant{EditWay::sites, kTarget, PatchPlan::at_sites({0, 1, 2, 3}, 1).patches(), false, {}, where};
  const EditedImage edit = draw_variants(*model.pipeline, source, {variant}, reader, quiet, {}).images.at(0);
  const torch::Tensor image = edit.image;
  const auto height = image.size(1), width = image.size(2);
  const torch::Tensor free = feathered_mask(where.box, height, width, where.feather) > 0;
  EXPECT_TRUE(torch::where(free, source.image, image).equal(source.image)) << "no pixel outside the mask and its feather";
  EXPECT_FALSE(image.equal(source.image)) << "the edit acts inside";
  // What is told of outside is of where nothing may change, the feather included with what may.
  EXPECT_EQ(edit.measured.scores.at("mse_outside_box"), 0);
  EXPECT_DOUBLE_EQ(edit.measured.scores.at("ssim_outside_box"), 1);
  // In the latents: those of the request that made it.
  const Result again = *model.pipeline->generate(edit.request);
  const torch::Tensor mask = edit.request.rows[0].follow.mask, last = source.path->latents.back();
  EXPECT_TRUE(torch::where(mask > 0, last, again.latents[0]).equal(last)) << "no latent";
  EXPECT_FALSE(again.latents[0].equal(last));
  // Ways without a mask are scored by the same box if they are told.
  const EditVariant text{EditWay::target_prompt, kTarget, {}, false, {}, {}}, told{EditWay::target_prompt, kTarget, {}, false, {}, {}, where.box};
  const auto both = draw_variants(*model.pipeline, source, {text, told}, reader, quiet, {}).images;
  EXPECT_NE(both[0].measured.scores.at("ssim_outside_box"), both[1].measured.scores.at("ssim_outside_box"));
}

// Back in the picture as it was given, larger and of another aspect: outside of the mask's feather not a bit changes; inside it is the edit, scaled.
TEST(Mask, PastesTheEditBack) {
  auto generator = make_generator(5);
  for (const auto& [height, width] : std::vector<std::pair<std::int64_t, std::int64_t>>{{90, 120}, {150, 60}, {40, 40}, {64, 64}}) {
    const torch::Tensor given = torch::randint(0, 256, {3, height, width}, generator, torch::kUInt8), edited = torch::full({3, 64, 64}, 77, torch::kUInt8);
    const EditMask mask{{20, 24, 44, 40}, 3};
    const torch::Tensor whole = paste_back(edited, mask, given);
    ASSERT_EQ(whole.sizes(), given.sizes());
    // The edit is the middle square of the picture, scaled to 64 x 64.
    const double scale = static_cast<double>(std::min(height, width)) / 64, left = (static_cast<double>(width) - 64 * scale) / 2,
                 top = (static_cast<double>(height) - 64 * scale) / 2;
    const auto at = [&](const torch::Tensor& image, double x, double y) {
      return image[0][static_cast<std::int64_t>(top + y * scale)][static_cast<std::int64_t>(left + x * scale)].item<int>();
    };
    EXPECT_EQ(at(whole, 32, 32), 77) << width;
    EXPECT_EQ(at(whole, 22, 26), 77) << width;
    const torch::Tensor changed = (whole != given).any(0);
    const auto rows = changed.any(1).nonzero().to(torch::kFloat64), columns = changed.any(0).nonzero().to(torch::kFloat64);
    EXPECT_GE(rows.min().item<double>(), top + (24 - 4) * scale - 1) << width;
    EXPECT_LE(rows.max().item<double>(), top + (40 + 4) * scale + 1) << width;
    EXPECT_GE(columns.min().item<double>(), left + (20 - 4) * scale - 1) << width;
    EXPECT_LE(columns.max().item<double>(), left + (44 + 4) * scale + 1) << width;
  }
}

// A strip of variants is what each is alone.
TEST(TextEdit, VariantsInOneBatchAreThoseDrawnAlone) {
  for (const char* name : {"pipeline", "pipeline_sd3"}) {
    const Model model(name);
    EditSettings settings;
    settings.source = kSource;
    settings.sampling = model.pipeline->resolve(model.request(4));
    settings.sampling.prompts.clear();
    FindsBox reader;
    const auto quiet = [](const Progress&) {};
    const EditSource source = draw_source(*model.pipeline, settings, reader, quiet, {});
    using Way = EditWay;
    const std::string other = "a cat in the rain";
    const std::vector<EditVariant> variants{{Way::sites, kTarget, PatchPlan::at_sites({0, 1}, 1).patches(), false, {}, {}},
                                            {Way::sites, other, PatchPlan::at_sites({1}, 1, 2).patches(), true, {}, {}},
                                            {Way::target_prompt, other, {}, false, {}, {}},
                                            {Way::prompt_to_prompt, kTarget, {}, false, {}, {}}};
    const EditedImages together = draw_variants(*model.pipeline, source, variants, reader, quiet, {});
    ASSERT_EQ(together.images.size(), variants.size());
    for (size_t i = 0; i < variants.size(); ++i) {
      const torch::Tensor alone = draw_variants(*model.pipeline, source, {variants[i]}, reader, quiet, {}).images[0].image;
      EXPECT_LE((together.images[i].image.to(torch::kInt32) - alone.to(torch::kInt32)).abs().max().item<int>(), 1) << name << " " << i;
      EXPECT_FALSE(alone.equal(source.image)) << name << " " << i;
      // What is said to have made it makes it.
      EXPECT_TRUE(model.pipeline->generate(together.images[i].request)->images[0].equal(alone)) << name << " " << i;
    }
  }
}

TEST(TextEdit, WritesSeveralWordsAndTakesATextOut) {
  // Reads what it was told to, whatever the picture.
  struct Says : TextReader {
    std::vector<TextPiece> pieces;
    std::vector<TextPiece> read(const torch::Tensor&) override { return pieces; }
    std::string name() const override { return "told"; }
  };
  const Model model("pipeline");
  EditSettings settings;
  settings.source = kSource;
  settings.sampling = model.pipeline->resolve(model.request(2));
  settings.sampling.prompts.clear();
  Says reader;
  reader.pieces = {{"OPEN", 1, {8, 4, 20, 12}}};
  const auto quiet = [](const Progress&) {};
  const EditSource source = draw_source(*model.pipeline, settings, reader, quiet, {});
  const auto scores = [&](const std::string& target, std::vector<TextPiece> read) {
    reader.pieces = std::move(read);
    return draw_variants(*model.pipeline, source, {{EditWay::sites, target, PatchPlan::at_sites({0, 1}, 1).patches(), false, {}, {}}}, reader, quiet, {})
        .images[0]
        .measured.scores;
  };
  const std::string several = "a sign that says \"open all day\"", none = "a sign on a wall";
  EXPECT_EQ(scores(several, {{"OPEN", 1, {2, 2, 8, 6}}, {"ALL DAY", 1, {2, 8, 8, 12}}}).at("word_accuracy"), 1);
  EXPECT_EQ(scores(several, {{"OPEN", 1, {2, 2, 8, 6}}}).at("word_accuracy"), 0);
  EXPECT_EQ(scores(none, {}).at("word_accuracy"), 1);
  EXPECT_EQ(scores(none, {{"OPEN", 1, {8, 4, 20, 12}}}).at("word_accuracy"), 0);
  for (const auto& [name, value] : scores(none, {})) EXPECT_FALSE(std::isnan(value)) << name;
}

// A cancelled edit enters no further attention layer.
TEST(TextEdit, IsCancelledWithinALayer) {
  const Model model("pipeline");
  EditSettings settings;
  settings.source = kSource;
  settings.sampling = model.pipeline->resolve(model.request(4));
  settings.sampling.prompts.clear();
  FindsBox reader;
  const auto quiet = [](const Progress&) {};
  const EditSource source = draw_source(*model.pipeline, settings, reader, quiet, {});
  const std::vector<EditVariant> variants{{EditWay::sites, kTarget, PatchPlan::at_sites({0}, 1).patches(), false, {}, {}}};
  static std::atomic<int> layers;
  static CancelToken cancel;
  static std::atomic<int> cancel_at;
  layers = 0;
  cancel_at = 0;
  const auto counting = at::addThreadLocalCallback(at::RecordFunctionCallback([](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
                                                     if (std::string(function.name()) == "aten::scaled_dot_product_attention" && ++layers == cancel_at)
                                                       cancel.cancel();
                                                     return nullptr;
                                                   }).scopes({at::RecordScope::FUNCTION}));
  draw_variants(*model.pipeline, source, variants, reader, quiet, {});
  const int all = layers;
  EXPECT_GT(all, 8);
  // Of the denoiser's: the first are of the text encoder, the last is of the autoencoder.
  for (const int at : {all / 2, all / 2 + 1, all - 5}) {
    layers = 0;
    cancel_at = at;
    cancel = CancelToken();
    const auto stopped = attempt([&] { return draw_variants(*model.pipeline, source, variants, reader, quiet, cancel); });
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
    EXPECT_EQ(layers, at);
  }
  at::removeCallback(counting);
}

TEST(TextEdit, AStepThatNeverComesIsRefused) {
  const Model model("pipeline");
  EditSettings settings;
  settings.source = kSource;
  settings.sampling = model.pipeline->resolve(model.request(2));
  settings.sampling.prompts.clear();
  FindsBox reader;
  const auto quiet = [](const Progress&) {};
  const EditSource source = draw_source(*model.pipeline, settings, reader, quiet, {});
  const auto edit = [&](int from_step) {
    draw_variants(*model.pipeline, source, {{EditWay::sites, kTarget, PatchPlan::at_sites({0}, 1, from_step).patches(), false, {}, {}}}, reader, quiet, {});
  };
  edit(1);
  EXPECT_THAT(testing::failure_of([&] { edit(2); }), HasSubstr("from step 2 on, and there are 2"));
}

TEST(Mask, FadesWithinItsFeather) {
  const torch::Tensor mask = feathered_mask({10, 10, 20, 15}, 40, 40, 4);
  EXPECT_EQ(mask[10][10].item<float>(), 1);
  EXPECT_EQ(mask[14][19].item<float>(), 1);
  EXPECT_FLOAT_EQ(mask[12][20].item<float>(), 0.8F);  // 1 of the 5 pixels to where nothing is new
  EXPECT_FLOAT_EQ(mask[12][23].item<float>(), 0.2F);
  EXPECT_EQ(mask[12][24].item<float>(), 0);
  EXPECT_FLOAT_EQ(mask[17][23].item<float>(), 0) << "distances are those of the plane: a corner is 5 away";
}

// What step_back() gives is what step() takes to where it went back from.
TEST(Scheduler, GoesBackWhatItWent) {
  for (const char* prediction : {"epsilon", "v_prediction", "sample"}) {
    const Config config({{"_class_name", "DDIMScheduler"},
                         {"prediction_type", prediction},
                         {"clip_sample", false},
                         {"beta_schedule", "scaled_linear"},
                         {"beta_start", 0.00085},
                         {"beta_end", 0.012},
                         {"num_train_timesteps", 1000},
                         {"set_alpha_to_one", false}},
                        "test");
    const auto run = make_scheduler(config)->begin(20);
    auto generator = make_generator(3);
    for (size_t call = 0; call < 20; ++call) {
      const torch::Tensor x = torch::randn({1, 2, 4, 4}, generator, torch::kFloat64), output = torch::randn({1, 2, 4, 4}, generator, torch::kFloat64);
      ASSERT_TRUE(run->reversible());
      EXPECT_LT(relative_error(run->step_back(output, call, run->step(output, call, x)), x), 1e-9) << prediction << " " << call;
    }
  }
  const auto flow =
      make_scheduler(Config({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}, {"num_train_timesteps", 1000}}, "test"))->begin(9);
  const torch::Tensor x = torch::randn({1, 2, 4, 4}, torch::kFloat64), output = torch::randn({1, 2, 4, 4}, torch::kFloat64);
  EXPECT_LT(relative_error(flow->step_back(output, 5, flow->step(output, 5, x)), x), 1e-9);
}

// A sign that no model drew, by demo models that know signs: the better the denoiser, the less its answer changes within a step.
TEST(Inversion, DrawsAPictureAgain) {
  const SignSpec sign{.round = true, .sign = 2, .wall = 5, .word = "OPEN"};
  const torch::Tensor picture = SignRenderer().render(sign).pixels;
  for (const auto& [name, scheduler] : std::vector<std::pair<const char*, const char*>>{{"demo:sign-unet", "ddim"}, {"demo:sign-mmdit", ""}}) {
    const auto opened = open_model(name);
    ASSERT_TRUE(opened) << opened.error().message();
    Pipeline& pipeline = **opened;
    Request request;
    request.prompts = {sign.prompt()};
    request.steps = 20;
    request.scheduler = scheduler;
    request.guidance = 1;
    double before = 0;
    for (const int refinements : {0, 3}) {
      const auto path = pipeline.invert({picture, sign.prompt(), refinements}, request);
      ASSERT_TRUE(path) << path.error().message();
      const auto draw = [&](std::int64_t leaves) {
        request.rows = {{0, 7, {}, -1, {*path, leaves, {}}}};
        return pipeline.generate(request)->images[0];
      };
      const double ssim = structural_similarity(draw(0), draw(20));
      EXPECT_GT(ssim, refinements == 0 ? 0.95 : 0.99) << name << ", refinements: " << refinements;
      EXPECT_GT(ssim, before) << name;
      before = ssim;
    }
  }
}

// In 200 steps without guidance, of signs that no model drew: as like the autoencoder's own round trip as SSIM 0.98. Of sign-pixel, whose steps on
// single pixels are rougher, with each step estimated anew.
TEST(Inversion, OfTheDemoModelsReaches98) {
  for (const auto& [name, word, refinements] :
       std::vector<std::tuple<const char*, const char*, int>>{{"demo:sign-unet", "OPEN", 0}, {"demo:sign-mmdit", "OPEN", 0}, {"demo:sign-pixel", "BUS", 3}}) {
    const std::shared_ptr<Pipeline> held = *open_model(name);
    FindsBox reader;
    EditSettings settings;
    const SignSpec sign{.round = true, .sign = 2, .wall = 5, .word = word};
    settings.source = sign.prompt();
    settings.sampling.steps = 200;
    settings.refinements = refinements;
    take_picture(settings, held->info(), SignRenderer().render(sign, static_cast<int>(held->info().default_width)).pixels);
    settings.sampling = held->resolve(settings.sampling);
    const EditSource source = draw_source(*held, settings, reader, [](const Progress&) {}, {});
    EXPECT_GT(structural_similarity(source.reconstruction, source.round_trip), 0.98) << name;
  }
}

// A model that reads guidance as a number is asked as without it, whatever the edit is drawn with.
TEST(Inversion, IsWithoutGuidance) {
  const Model model("pipeline_flux");
  const auto& info = model.pipeline->info();
  const torch::Tensor picture =
      torch::randint(0, 256, {3, info.default_height, info.default_width}, at::make_generator<at::CPUGeneratorImpl>(1), torch::kUInt8);
  Request request = model.request(4);
  request.guidance = 1;
  const auto plain = model.pipeline->invert({picture, "a", 0}, request);
  ASSERT_TRUE(plain) << plain.error().message();
  request.guidance = 5;
  EXPECT_TRUE((*model.pipeline->invert({picture, "a", 0}, request))->latents[0].equal((*plain)->latents[0]));
  request.prompts = {"a"};
  request.guidance = 5;
  request.rows = {{0, 7, {}}};
  const torch::Tensor guided = model.pipeline->generate(request)->latents;
  request.guidance = 1;
  EXPECT_FALSE(model.pipeline->generate(request)->latents.equal(guided)) << "this model reads it";
}

TEST(Inversion, WhatCannotBeInvertedIsNamed) {
  const Model model("pipeline");
  const torch::Tensor picture = torch::zeros({3, model.pipeline->info().default_height, model.pipeline->info().default_width}, torch::kUInt8);
  const auto euler = model.pipeline->invert({picture, "a", 0}, model.request(4, "euler"));
  ASSERT_FALSE(euler);
  EXPECT_THAT(euler.error().what, HasSubstr("cannot be gone back"));
  const auto small = model.pipeline->invert({torch::zeros({3, 8, 8}, torch::kUInt8), "a", 0}, model.request(4, "ddim"));
  ASSERT_FALSE(small);
  EXPECT_THAT(small.error().what, HasSubstr("the picture to invert must be"));
}

}  // namespace
}  // namespace glyphscope
