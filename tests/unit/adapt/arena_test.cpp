#include "adapt/arena.h"
#include "adapt/new_lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/random.h"
#include "io/files.h"
#include "io/image_file.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/small_denoiser.h"

namespace glyphscope {
namespace {
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SmallDenoiser;

const Contender& named(const std::vector<Contender>& all, const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Contender& one) { return one.name == name; });
  EXPECT_NE(found, all.end()) << name;
  return *found;
}

TEST(Arena, ContendersAreAsLargeAsTheySay) {
  SmallDenoiser denoiser("unet_sd1");
  const auto all = make_contenders(denoiser.module(), denoiser.table(), {.sites = {1, 3}, .rank = 8}, 3, 1);
  const std::int64_t own = named(all, "localized").parameters;
  std::vector<std::vector<int>> seen;
  for (const char* name : {"random 1", "random 2", "random 3"}) {
    const auto& sites = named(all, name).plan.sites;
    EXPECT_EQ(sites.size(), 2u);
    for (int site : sites) EXPECT_TRUE(site != 1 && site != 3) << name;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), sites), 0);
    seen.push_back(sites);
  }
  EXPECT_EQ(named(all, "all sites").plan.sites.size(), denoiser.table().sites.size());
  EXPECT_EQ(named(all, "all sites").plan.rank, 8);
  EXPECT_GT(named(all, "every attention").parameters, named(all, "all sites").parameters);
  // One more at any site, or one less, would be further off: sites of the narrow level have half as many parameters as the others.
  const auto layers = attention_projections(denoiser.module());
  for (const char* name : {"random 1", "random 2", "random 3", "all sites, as small"}) {
    const Contender& small = named(all, name);
    EXPECT_EQ(small.plan.parameters(layers), small.parameters);
    for (const int site : small.plan.sites)
      for (const int by : {-1, 1}) {
        LoraPlan other = small.plan;
        other.ranks[site] = other.rank_at(site) + by;
        EXPECT_LE(std::abs(small.parameters - own), std::abs(other.parameters(layers) - own)) << name << ", site " << site;
      }
  }
  // Smaller than rank 1 everywhere it cannot be.
  const Contender& every = named(all, "every attention, as small");
  LoraPlan more = every.plan;
  ++more.rank;
  EXPECT_TRUE(every.plan.rank == 1 || every.parameters <= own);
  EXPECT_GT(more.parameters(layers), own);
}

// Where attention is joint every layer reads the prompt: nothing is trained twice under two names.
TEST(Arena, NoContenderIsAnothers) {
  for (const char* model : {"mmdit_sd3", "unet_sd1", "unet_if1"}) {
    SmallDenoiser denoiser(model);
    for (const std::string group : {"auto", "paper", "kv"}) {
      const auto all = make_contenders(denoiser.module(), denoiser.table(), {.sites = {1}, .projections = {group}, .rank = 4}, 1, 1);
      EXPECT_EQ(named(all, "all sites").plan.sites.size(), denoiser.table().sites.size());
      std::set<std::string> seen;  // layers with their ranks
      for (const auto& one : all) {
        std::string trained;
        for (const auto& layer : attention_projections(denoiser.module()))
          if (one.plan.covers(layer)) trained += layer.path + " " + std::to_string(one.plan.rank_at(layer.site)) + "\n";
        EXPECT_TRUE(seen.insert(trained).second) << model << ", " << group << ": " << one.name;
      }
    }
  }
}

// What is trained by default is what a patch at the site replaces (METHOD: the prompt's K and V), and the paper's choice stands beside it.
TEST(Arena, TheDefaultIsWhatWasLocalized) {
  SmallDenoiser mmdit("mmdit_sd3"), pixels("unet_if1"), unet("unet_sd1");
  const auto trained = [](SmallDenoiser& denoiser, const LoraPlan& plan) {
    std::set<std::string> out;
    for (const auto& layer : attention_projections(denoiser.module()))
      if (plan.covers(layer)) out.insert(layer.name);
    return out;
  };
  const std::set<std::string> prompt{"add_k_proj", "add_v_proj"}, picture{"to_q", "to_k", "to_v", "to_out.0"};
  for (SmallDenoiser* denoiser : {&mmdit, &pixels}) {
    const auto all = make_contenders(denoiser->module(), denoiser->table(), {.sites = {1}, .rank = 4}, 1, 1);
    for (const char* name : {"localized", "random 1", "all sites", "all sites, as small"}) EXPECT_EQ(trained(*denoiser, named(all, name).plan), prompt) << name;
    for (const char* name : {"localized, paper's projections", "localized, paper's projections, as small", "every attention"})
      EXPECT_EQ(trained(*denoiser, named(all, name).plan), picture) << name;
    EXPECT_EQ(named(all, "localized, paper's projections").plan.sites, std::vector<int>{1});
  }
  // A U-Net's to_k and to_v are the site: the paper's choice holds them.
  const auto all = make_contenders(unet.module(), unet.table(), {.sites = {1}, .rank = 4}, 1, 1);
  EXPECT_EQ(trained(unet, named(all, "localized").plan), picture);
  for (const auto& one : all) EXPECT_THAT(one.name, Not(HasSubstr("paper")));
}

struct SaysOpen : TextReader {
  std::vector<TextPiece> read(const torch::Tensor&) override { return {{"open", 1, {}}}; }
  std::string name() const override { return "says open"; }
};

// Pictures of grey walls.
PictureSet grey_walls(const testing::TemporaryFolder& folder) {
  fs::create_directories(folder / "pictures");
  for (int i = 0; i < 8; ++i) {
    write_png(folder / "pictures" / (std::to_string(i) + ".png"), torch::full({3, 32, 32}, 30 * i, torch::kUInt8));
    write_text(folder / "pictures" / (std::to_string(i) + ".txt"), "a grey wall");
  }
  return read_picture_set(folder / "pictures", 0.3);
}

ArenaSettings small_arena() {
  ArenaSettings settings;
  settings.training.plan = {.sites = {1}, .rank = 2};
  settings.training.steps = 4;
  settings.training.batch = 2;
  settings.training.rate = 2e-2;
  settings.training.resolution = 32;
  settings.training.sample_steps = 2;
  settings.random_sets = 1;
  settings.seeds = 2;
  settings.prompts = {"says \"open\"", "says \"shut\"", "a wall", "a red wall", "a blue wall", "a wall", "a green wall", "a grey wall"};
  settings.variety = 2;
  return settings;
}

// Small, but whole: stopped in the middle and gone on with, it gives the same numbers; done again, it trains nothing.
// Whatever their ranks, all contenders' adapters count as much, fit their layers, and have something to learn.
TEST(Arena, ContendersCountAlikeAndCanBeTrained) {
  const auto check = [](SmallDenoiser& denoiser, const LoraPlan& localized) {
    for (const auto& one : make_contenders(denoiser.module(), denoiser.table(), localized, 3, 1)) {
      const Lora lora = make_lora(denoiser.module(), denoiser.table(), one.plan, make_generator(1));
      EXPECT_EQ(lora.parameters(), one.parameters) << one.name;
      for (const auto& [path, layer] : lora.layers)
        EXPECT_NEAR(layer.alpha / static_cast<double>(layer.a.size(0)), localized.alpha / static_cast<double>(localized.rank), 1e-12)
            << one.name << ", " << path;
      if (one.plan.every_attention) continue;
      for (const int site : one.plan.sites) {
        LoraPlan alone = one.plan;
        alone.sites = {site};
        EXPECT_GT(alone.parameters(attention_projections(denoiser.module())), 0) << one.name << ", site " << site;
      }
    }
  };
  SmallDenoiser unet("unet_sd1"), mmdit("mmdit_sd3");
  std::int64_t widest = 0;
  int site = 0;
  for (const auto& layer : attention_projections(unet.module()))
    if (layer.site >= 0 && layer.name == "to_q" && layer.inputs > widest) widest = layer.inputs, site = layer.site;
  // As large a rank as a wide layer can have is more than a narrow one can.
  check(unet, {.sites = {site}, .projections = {"to_q"}, .rank = widest / 3, .alpha = 5});
  EXPECT_THAT(testing::failure_of([&] { make_contenders(unet.module(), unet.table(), {.sites = {site}, .projections = {"to_q"}, .rank = widest}, 3, 1); }),
              HasSubstr("does not go with"))
      << "all sites at that rank";
  check(unet, {.sites = {site}, .rank = 3, .alpha = 6});
  check(mmdit, {.sites = {0}, .projections = {"to_add_out"}, .rank = 2, .alpha = 1});
}

TEST(Arena, ComparesAndResumes) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = grey_walls(folder);
  ArenaSettings settings = small_arena();
  SaysOpen reader;
  const auto opened = open_model(golden("pipeline").string());
  ASSERT_TRUE(opened);
  const ArenaResult whole = run_arena(**opened, pictures, settings, folder / "whole", false, reader, {}, {});
  EXPECT_EQ(whole.features, "latents of the model's autoencoder");
  ASSERT_GE(whole.entries.size(), 5u);
  EXPECT_EQ(whole.entries[0].contender.name, "no adapter");
  EXPECT_EQ(whole.entries[1].contender.name, "localized");
  // Drawn in another batch than the pictures that it is compared with.
  EXPECT_NEAR(whole.entries[0].scores.ssim_to_base.mean, 1, 1e-4);
  EXPECT_EQ(whole.entries[0].scores.word_accuracy.mean, 0.5);
  EXPECT_EQ(whole.entries[1].scores.word_accuracy.n, 4);  // two prompts, two trainings
  EXPECT_EQ(whole.entries[1].scores.ssim_to_base.n, 24);
  EXPECT_LT(whole.entries[1].scores.ssim_to_base.mean, 1);
  // Two trainings tell little, but no similarity is over 1, and no distance under 0.
  for (const auto& entry : whole.entries) {
    EXPECT_LE(entry.scores.ssim_to_base.high.value_or(1), 1);
    EXPECT_GE(entry.scores.pair_distance.low.value_or(0), 0);
  }
  EXPECT_EQ(whole.entries[1].scores.pair_distance.n, 12);
  EXPECT_EQ(whole.entries[1].scores.recall.n, 24);
  EXPECT_EQ(whole.entries[1].scores.held_out_loss.n, 2);
  // Five different prompts without text are enough for intervals; two with text, and two trainings, are not.
  for (const Score& score : {whole.entries[1].scores.ssim_to_base, whole.entries[1].scores.kernel_distance, whole.entries[1].scores.precision,
                             whole.entries[1].scores.recall, whole.entries[1].scores.pair_distance}) {
    ASSERT_TRUE(score.low && score.high);
    EXPECT_LE(*score.low, score.mean);
    EXPECT_GE(*score.high, score.mean);
  }
  EXPECT_FALSE(whole.entries[1].scores.word_accuracy.low);
  EXPECT_FALSE(whole.entries[1].scores.held_out_loss.low);
  EXPECT_EQ(whole.entries[0].f1_gain.mean, 0);
  const std::string csv = whole.csv();
  EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')), whole.entries.size() + 1);
  EXPECT_THAT(whole.table(), HasSubstr("every attention"));

  const CancelToken cancel;
  ArenaObserver stop;
  int trainings = 0;
  stop.progress = [&](const Progress& p) {
    if (p.what.starts_with("random") && ++trainings == 3) cancel.cancel();
  };
  const auto stopped = attempt([&] { return run_arena(**opened, pictures, settings, folder / "parts", false, reader, stop, cancel); });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_THAT(testing::failure_of([&] { run_arena(**opened, pictures, settings, folder / "parts", false, reader, {}, {}); }), HasSubstr("\u2039resume"));
  const ArenaResult parts = run_arena(**opened, pictures, settings, folder / "parts", true, reader, {}, {});
  EXPECT_EQ(parts.to_json(), whole.to_json());

  const auto adapter = folder / "parts/runs/localized-0/last.safetensors";
  const auto before = fs::last_write_time(adapter);
  EXPECT_EQ(run_arena(**opened, pictures, settings, folder / "parts", true, reader, {}, {}).to_json(), whole.to_json());
  EXPECT_EQ(fs::last_write_time(adapter), before);
  EXPECT_THAT(whole.table(), Not(HasSubstr("CLIP")));

  // With a CLIP, by its features, and how well pictures go with prompts.
  settings.clip = std::make_shared<const ClipScorer>(golden("clip_scores"));
  settings.seeds = 1;
  const ArenaResult seen = run_arena(**opened, pictures, settings, folder / "seen", false, reader, {}, {});
  EXPECT_THAT(seen.features, HasSubstr("clip_scores"));
  EXPECT_EQ(seen.entries[1].scores.clip_alignment.n, 14);
  EXPECT_NE(seen.entries[1].scores.clip_alignment.mean, seen.entries[0].scores.clip_alignment.mean);
  EXPECT_NE(seen.entries[1].scores.pair_distance.mean, whole.entries[1].scores.pair_distance.mean);
  EXPECT_THAT(seen.table(), HasSubstr("CLIP alignment"));
  EXPECT_GT(draw(seen.figure()).width, draw(whole.figure()).width);
  EXPECT_EQ(run_arena(**opened, pictures, settings, folder / "seen", true, reader, {}, {}).to_json(), seen.to_json());
  settings.seeds = 3;
  EXPECT_THAT(testing::failure_of([&] { run_arena(**opened, pictures, settings, folder / "parts", true, reader, {}, {}); }), HasSubstr("other settings"));
}

// Trainings that explode are a result.
TEST(Arena, CountsTrainingsThatExplode) {
  const testing::TemporaryFolder folder;
  const PictureSet pictures = grey_walls(folder);
  ArenaSettings settings = small_arena();
  settings.training.rate = 1e30;
  SaysOpen reader;
  const auto opened = open_model(golden("pipeline").string());
  ASSERT_TRUE(opened);
  std::vector<std::string> notes;
  ArenaObserver observer;
  observer.note = [&](const std::string& note) { notes.push_back(note); };
  const ArenaResult result = run_arena(**opened, pictures, settings, folder / "out", false, reader, observer, {});
  EXPECT_EQ(result.entries[0].diverged, 0);
  EXPECT_EQ(result.entries[0].scores.word_accuracy.n, 2);
  for (size_t i = 1; i < result.entries.size(); ++i) {
    EXPECT_EQ(result.entries[i].diverged, 2) << result.entries[i].contender.name;
    EXPECT_EQ(result.entries[i].scores.word_accuracy.n, 0);
  }
  ASSERT_FALSE(notes.empty());
  EXPECT_THAT(notes[0], HasSubstr("localized-0: the loss is not a number at step"));
  EXPECT_THAT(result.table(), HasSubstr("localized: the loss of 2 of 2 trainings exploded"));
  EXPECT_GT(draw(result.figure()).height, 50);  // without values, too
  EXPECT_EQ(run_arena(**opened, pictures, settings, folder / "out", true, reader, {}, {}).to_json(), result.to_json());
}

TEST(Arena, AFigureHasRoomForTheLongestName) {
  ArenaResult result;
  result.entries.resize(1);
  const int width = draw(result.figure()).width;
  result.entries[0].contender.name = "localized, paper's projections, as small";
  EXPECT_GT(draw(result.figure()).width, width + 200);
}
}  // namespace
}  // namespace glyphscope
