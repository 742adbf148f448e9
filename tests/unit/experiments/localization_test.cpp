// Localization on a model whose right answer is known: every site's output projection is zero but one's.
#include "experiments/localization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/random.h"
#include "core/side_by_side.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/weights.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/synthetic.h"
#include "tests/support/test_device.h"

namespace glyphscope {
namespace {

// Reads an image as the word whose own picture it is nearer to: an OCR that fits a model which draws no letters.
class NearestPicture : public TextReader {
 public:
  explicit NearestPicture(std::vector<std::pair<std::string, torch::Tensor>> pictures) : pictures_(std::move(pictures)) {}
  std::vector<TextPiece> read(const torch::Tensor& image) override {
    double best = 1e30;
    std::string word;
    for (const auto& [name, picture] : pictures_) {
      const double distance = (image.to(torch::kFloat64) - picture.to(torch::kFloat64)).pow(2).sum().item<double>();
      if (distance < best) best = distance, word = name;
    }
    return {{word, 1.0, {0, 0, 0, 0}}};
  }
  std::string name() const override { return "nearest picture"; }

 private:
  std::vector<std::pair<std::string, torch::Tensor>> pictures_;
};

// A localization that keeps nothing.
LocalizationResult localized(Pipeline& pipeline, TextReader& reader, const LocalizationSettings& settings) {
  const LocalizationObserver observer;
  Cells cells(settings, nullptr, pipeline, reader, observer, {});
  return run_localization(cells, settings, pipeline.info().table, observer);
}

// The golden pipeline with all output projections of prompt-reading layers zeroed but that of `causal`.
std::filesystem::path plant(const testing::TemporaryFolder& folder, const std::string& causal) {
  const auto model = folder / "planted";
  std::filesystem::copy(testing::golden("pipeline"), model, std::filesystem::copy_options::recursive);
  const SafetensorsFile file(testing::golden("pipeline") / "unet" / "diffusion_pytorch_model.safetensors");
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, entry] : file.entries()) {
    tensors[name] = file.tensor(name).clone();
    if (name.find("attn2.to_out.0") != std::string::npos && !name.starts_with(causal)) tensors[name].zero_();
    // What is left must show in the picture.
    if (name == causal + ".to_out.0.weight") tensors[name].mul_(6);
  }
  write_safetensors(model / "unet" / "diffusion_pytorch_model.safetensors", tensors);
  return model;
}

struct PlantedModel : ::testing::TestWithParam<int> {};

TEST_P(PlantedModel, YieldsExactlyItsCausalSite) {
  testing::TemporaryFolder folder;
  const auto whole = open_model(testing::golden("pipeline").string());
  ASSERT_TRUE(whole);
  const int causal = GetParam();
  const auto opened = open_model(plant(folder, (*whole)->info().table.sites[static_cast<size_t>(causal)].path).string());
  ASSERT_TRUE(opened) << opened.error().message();
  Pipeline& pipeline = **opened;

  LocalizationSettings settings;
  settings.pairs = {{"a red cat", "forty blue ships at night", "cat", "ship"}};
  settings.sampling.steps = 4;
  settings.sampling.guidance = 5;
  settings.localized_ssim = -1;  // the pictures are no signs: only the text is asked for
  Request request = settings.sampling;
  request.prompts = {settings.pairs[0].source, settings.pairs[0].target};
  request.rows = {{0, 42, {}}, {1, 42, {}}};
  const auto pictures = pipeline.generate(request);
  ASSERT_TRUE(pictures);
  ASSERT_FALSE(torch::equal(pictures->images[0], pictures->images[1])) << "the planted site must matter";
  NearestPicture reader({{"cat", pictures->images[0]}, {"ship", pictures->images[1]}});

  const LocalizationResult result = localized(pipeline, reader, settings);
  EXPECT_EQ(result.localized, std::vector<int>{causal});
  EXPECT_EQ(result.smallest, std::vector<int>{causal});
  for (const auto& set : result.sites) {
    const bool is_causal = set.variant.sites().front() == causal;
    EXPECT_EQ(set.scores.at("word_accuracy").mean, is_causal ? 1 : 0);
    // A site that cannot act leaves A's picture as it is.
    if (!is_causal) EXPECT_EQ(set.scores.at("mse").mean, 0) << set.variant.sites().front();
  }
}

INSTANTIATE_TEST_SUITE_P(EverySite, PlantedModel, ::testing::Range(0, 4));

struct LocalizationRun : ::testing::Test {
  void SetUp() override {
    auto opened = open_model(testing::golden("pipeline").string());
    ASSERT_TRUE(opened);
    pipeline = *opened;
    settings.pairs = make_pairs({"a sign that says \"<text>\"", "the word \"<text>\" on a wall"}, {"one", "two", "ten", "red", "cat", "sun"}, 3);
    settings.sampling.steps = 2;
    settings.random_sets = 1;
  }
  LocalizationResult localize(const std::filesystem::path& folder, const LocalizationObserver& observer = {}, const CancelToken& cancel = {},
                              Shard shard = {}) {
    RunFolder run(folder, describe_run(settings, pipeline->info(), reader.name()));
    Cells cells(settings, &run, *pipeline, reader, observer, cancel, shard);
    return run_localization(cells, settings, pipeline->info().table, observer);
  }
  std::shared_ptr<Pipeline> pipeline;
  NearestPicture reader{{{"one", torch::zeros({3, 32, 32}, torch::kUInt8)}, {"two", torch::full({3, 32, 32}, 255, torch::kUInt8)}}};
  LocalizationSettings settings;
};

TEST_F(LocalizationRun, StoppedAndResumedEqualsUninterrupted) {
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  const LocalizationResult whole = localize(folder / "whole");
  CancelToken cancel;
  int pairs = 0, run_again = 0;
  LocalizationObserver stops, counts;
  stops.pair_done = [&](const PairResult&, const torch::Tensor&) {
    if (++pairs == 2) cancel.cancel();
  };
  counts.pair_done = [&](const PairResult&, const torch::Tensor& images) { run_again += images.defined(); };
  EXPECT_THROW(localize(folder / "stopped", stops, cancel), Failure);
  EXPECT_EQ(pairs, 2);
  const LocalizationResult resumed = localize(folder / "stopped", counts);
  EXPECT_LE(run_again, 2) << "the first pair was kept";
  auto document = [&](const LocalizationResult& result) { return localization_document(result, settings, pipeline->info(), "", {}).dump(); };
  EXPECT_EQ(document(resumed), document(whole));
}

// A's and B's pictures are drawn once, and what was measured is the same as when every row is drawn in one request.
TEST_F(LocalizationRun, NothingIsDrawnTwice) {
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  std::int64_t rows = 0;
  LocalizationObserver counts, none;
  counts.progress = [&](const Progress& p) { rows = p.total; };
  none.pair_done = [](const PairResult&, const torch::Tensor& images) { EXPECT_FALSE(images.defined()); };
  const LocalizationResult result = localize(folder / "run", counts);
  std::int64_t expected = 0;
  for (const auto& pair : result.pairs) expected += 2 + static_cast<std::int64_t>(pair.patched.size());
  EXPECT_EQ(rows, expected) << "the last progress counts the rows that were drawn";
  // Gone on with from its files, it draws none.
  const LocalizationResult again = localize(folder / "run", none);
  EXPECT_EQ(again.pairs.size(), result.pairs.size());
}

TEST_F(LocalizationRun, ARunOfAnOlderGlyphscopeIsRefusedAndLeftAsItIs) {
  testing::TemporaryFolder folder;
  std::filesystem::create_directories(folder / "run");
  write_text(folder / "run/settings.json", R"({"schema": "glyphscope.sweep-settings/2", "model": "x"})");
  EXPECT_THAT(testing::failure_of([&] { localize(folder / "run"); }), ::testing::HasSubstr("older Glyphscope"));
  EXPECT_FALSE(std::filesystem::exists(folder / "run/cells"));
}

// A score that was added since a pair was kept is not in it; the means are of the pairs that have it. One that cannot be is refused.
TEST_F(LocalizationRun, AKeptPairMayLackAScoreAndHasNoneThatCannotBe) {
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  const LocalizationResult whole = localize(folder / "run");
  const std::filesystem::path kept = folder / "run/cells/pair0-noise0/sites-choosing.json";
  const nlohmann::json pair = read_json(kept);
  nlohmann::json without = pair;
  for (const int one : {0, 1, 2}) without["measured"][one]["scores"].erase("anagram_accuracy");  // A, B, site 0
  write_json(kept, without);
  const LocalizationResult again = localize(folder / "run");
  EXPECT_EQ(again.sites[0].scores.at("target_f1").n, whole.sites[0].scores.at("target_f1").n);
  const bool reports = std::find(whole.reporting.begin(), whole.reporting.end(), 0) != whole.reporting.end();
  const auto count = [&](const LocalizationResult& result) {
    const auto& scores = reports ? result.sites[0].scores : result.sites[0].choosing;
    return scores.contains("anagram_accuracy") ? scores.at("anagram_accuracy").n : 0;
  };
  EXPECT_EQ(count(again), count(whole) - 1);
  write_localization(again, settings, pipeline->info(), "none", {}, folder / "run");
  EXPECT_THAT(read_text(folder / "run/sites.csv"), ::testing::HasSubstr("anagram_accuracy"));

  for (const auto& [score, value] : {std::pair("target_f1", 1e300), {"ssim", -1.5}, {"mse", -1.0}, {"word_accuracy", 2.0}}) {
    nlohmann::json wrong = pair;
    wrong["measured"][3]["scores"][score] = value;
    write_json(kept, wrong);
    const std::string refused = testing::failure_of([&] { localize(folder / "run"); });
    EXPECT_THAT(refused, ::testing::AllOf(::testing::HasSubstr(score), ::testing::HasSubstr(kept.string())));
  }
}

// A question of more sites than are drawn at once is told as one: SDXL has 70.
TEST(Localization, OfManySitesIsToldWhole) {
  testing::SyntheticPipeline pipeline(70, 1, [](const PatchPlan& plan) { return testing::has_site(plan, 69) ? 1.0 : 0.0; });
  testing::SyntheticReader reader;
  LocalizationSettings settings;
  settings.pairs = make_pairs({"says \"<text>\""}, {"one", "two", "ten", "red"}, 2);
  settings.sampling = pipeline.resolve(Request{});
  LocalizationObserver observer;
  int told = 0;
  observer.pair_done = [&](const PairResult& pair, const torch::Tensor& images) {
    ++told;
    EXPECT_GE(pair.patched.size(), 70u);
    ASSERT_TRUE(images.defined());
    EXPECT_GE(images.size(0), 72);
    EXPECT_EQ(joined_text(reader.read(images[71])), settings.pairs[static_cast<size_t>(pair.pair)].target_text) << "of the last site";
  };
  Cells cells(settings, nullptr, pipeline, reader, observer, {});
  EXPECT_EQ(run_localization(cells, settings, pipeline.info().table, observer).localized, std::vector<int>{69});
  EXPECT_EQ(told, 2);
}

// The F1 of mean precision and mean recall is beside the scores that pictures have; and scores stay within what they can be.
TEST_F(LocalizationRun, RunningScoresKnowTheTable) {
  settings.pairs = make_pairs({"says \"<text>\""}, {"one", "two", "ten", "red", "cat", "sun", "fox", "hat", "ice", "jam", "owl", "pen"}, 6);
  settings.seeds = {1, 2, 3};
  Choice choice(7);
  RunningScores running(settings);
  for (int pair = 0; pair < 6; ++pair)
    for (int noise = 0; noise < 3; ++noise) {
      Scores scores;
      for (const ScoreInfo* info : measured_scores()) scores[std::string(info->key)] = choice.fraction() < 0.9 ? 1 : 0;
      running.add(scores, pair, noise);
    }
  const auto scores = running.scores();
  EXPECT_TRUE(scores.at("target_f1_of_means").low);
  const auto all = reported_scores();
  EXPECT_EQ(scores.size(), static_cast<size_t>(std::count_if(all.begin(), all.end(), [](const ScoreInfo* one) { return !one->if_asked; })));
  for (const auto& [name, score] : scores) {
    EXPECT_GE(*score.low, find_score(name)->low) << name;
    EXPECT_LE(*score.high, find_score(name)->high) << name;
  }
}

// The settings that a folder keeps are the run's: by them alone it can be gone on with.
TEST_F(LocalizationRun, SettingsAreReadAsTheyAreWritten) {
  settings.sampling = pipeline->resolve(settings.sampling);
  settings.sampling.negative = "";
  settings.seeds = {42, 7};
  settings.from_step = 1;
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  localize(folder / "run");
  EXPECT_EQ(LocalizationSettings::read(folder / "run").to_json(), settings.to_json());
  nlohmann::json odd = settings.RunSettings::to_json();
  odd["something"] = "new";
  EXPECT_THAT(testing::failure_of([&] { RunSettings::from_json(odd, "x"); }), ::testing::HasSubstr("cannot be repeated"));
}

TEST_F(LocalizationRun, OtherSettingsDoNotMixWithARunThatIsThere) {
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  localize(folder / "run");
  settings.from_step = 1;
  EXPECT_THAT(testing::failure_of([&] { localize(folder / "run"); }), ::testing::HasSubstr("other settings"));
}

// Bytes that are no UTF-8 look alike in JSON: the run must tell them apart all the same.
TEST_F(LocalizationRun, PromptsThatOnlyLookAlikeDoNotMix) {
  settings.sampling.width = settings.sampling.height = 32;
  settings.pairs = {{"a \xff \"one\"", "a \xff \"two\"", "one", "two"}};
  testing::TemporaryFolder folder;
  localize(folder / "run");
  settings.pairs[0].source[2] = '\xfe';
  EXPECT_THAT(testing::failure_of([&] { localize(folder / "run"); }), ::testing::HasSubstr("other settings"));
}

TEST_F(LocalizationRun, ADamagedPairIsNamedNotTrusted) {
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  localize(folder / "run");
  const auto file = folder.path() / "run/cells/pair1-noise0/sites-choosing.json";
  const auto whole = read_json(file);
  auto shorter = whole, odd = whole;
  shorter["measured"].erase(3);
  odd["noise"] = {"none"};
  for (const auto& pair : {shorter, odd}) {
    write_json(file, pair);
    EXPECT_THAT(testing::failure_of([&] { localize(folder / "run"); }), ::testing::HasSubstr("pair1-noise0/sites-choosing.json"));
  }
}

// What is resampled must be independent: pairs that share a word, whoever's it is and by whatever way, are one cluster.
TEST(PromptSet, PairsThatShareAWordAreOneCluster) {
  const std::vector<PromptPair> pairs{{"", "", "a", "b"}, {"", "", "c", "d"}, {"", "", "B", "e"}, {"", "", "f", "g"}, {"", "", "d", "e"}};
  EXPECT_EQ(word_clusters(pairs), (std::vector<int>{0, 0, 0, 1, 0}));
}

TEST(PromptSet, WhatChoosesAndWhatReportsShareNoWord) {
  const auto words_of = [](const std::vector<PromptPair>& pairs, const std::vector<int>& half) {
    std::set<std::string> out;
    for (const int pair : half) out.insert({pairs[static_cast<size_t>(pair)].source_text, pairs[static_cast<size_t>(pair)].target_text});
    return out;
  };
  std::vector<std::string> words;
  for (char c = 'a'; c <= 'z'; ++c) words.emplace_back(3, c);
  for (const size_t count : {2u, 7u, 16u, 40u}) {
    const auto pairs = make_pairs({"a \"<text>\"", "the \"<text>\"", "one \"<text>\""}, words, count);
    const Halves halves = halves_of(pairs);
    EXPECT_EQ(halves.choosing.size() + halves.reporting.size(), count);
    EXPECT_GE(halves.reporting.size() + 2, count / 2);
    for (const auto& word : words_of(pairs, halves.choosing)) EXPECT_FALSE(words_of(pairs, halves.reporting).contains(word)) << word;
  }
  // One cluster alone cannot be halved.
  const auto chained = halves_of({{"", "", "a", "b"}, {"", "", "b", "c"}});
  EXPECT_EQ(chained.choosing, chained.reporting);
}

// Controls hold none of the chosen sites, and are as nearly as large as there are such sets.
TEST(Controls, HoldNoChosenSiteAndMatchInParameters) {
  SiteTable table;
  for (const int parameters : {100, 400, 400, 100, 900, 400, 100, 900}) {
    table.sites.emplace_back();
    table.sites.back().index = static_cast<int>(table.sites.size()) - 1;
    table.sites.back().kv_parameters = parameters;
  }
  const auto alone = matched_random_sets(table, {1}, {1}, 2, 7);
  EXPECT_THAT(alone, ::testing::UnorderedElementsAre(std::vector<int>{2}, std::vector<int>{5}));
  for (const auto& set : matched_random_sets(table, {1, 4}, {1, 2, 4}, 3, 7)) {
    ASSERT_EQ(set.size(), 2u);
    for (const int chosen : {1, 2, 4}) EXPECT_EQ(std::count(set.begin(), set.end(), chosen), 0);
  }
  EXPECT_EQ(matched_random_sets(table, {1, 4}, {1, 2, 4}, 1, 7).front(), (std::vector<int>{5, 7})) << "400 and 900, as 1 and 4 have";
  EXPECT_TRUE(matched_random_sets(table, {0, 1, 2, 3}, {4}, 2, 1).empty()) << "three others are too few";
}

TEST_F(LocalizationRun, WritesItsFiles) {
  settings.sampling.width = settings.sampling.height = 32;
  testing::TemporaryFolder folder;
  const LocalizationResult result = localized(*pipeline, reader, settings);
  write_localization(result, settings, pipeline->info(), "test", {1.5, 0}, folder.path());
  const auto run = read_json(folder / "run.json");
  EXPECT_EQ(run["schema"], "glyphscope.run/3");
  EXPECT_EQ(run["sites"].size(), 4u);
  EXPECT_TRUE(run["sites"][0]["scores"]["target_f1"].contains("mean"));
  EXPECT_TRUE(run["sites"][0]["scores"]["target_f1"]["low"].is_null()) << "three pairs give no interval";
  EXPECT_EQ(run["protocol"]["choosing_pairs"], nlohmann::json({0, 1}));
  EXPECT_EQ(run["protocol"]["reporting_pairs"], nlohmann::json({2}));
  EXPECT_EQ(run["protocol"]["resampled"], nlohmann::json({{"word_clusters", 1}, {"noises", 1}}));
  EXPECT_EQ(run["sites"][0]["scores"]["target_f1"]["n"], 1);
  EXPECT_EQ(run["sites"][0]["choosing_scores"]["target_f1"]["n"], 2);
  EXPECT_TRUE(run["source"]["psnr"]["mean"].is_null());
  EXPECT_EQ(run["source"]["psnr"]["infinite"], 1) << "A's picture against itself";
  EXPECT_TRUE(run["target"].contains("target_f1_of_means") && run["target"].contains("anagram_accuracy") && run["target"].contains("source_recall"));
  EXPECT_EQ(run["pairs"].size(), 3u);
  const std::string csv = read_text(folder / "sites.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  EXPECT_GT(read_image(folder / "heatmap.png").size(2), 300);
  EXPECT_EQ(nlohmann::json::parse(read_png_metadata(folder / "heatmap.png"))["model"]["hash"], pipeline->info().hash);
}

// Cells that leave threads without work are drawn together with the next: to the bit as each alone, the patches of each by its own prompts.
TEST(Cells, DrawnAheadAreWhatTheyAreAlone) {
  if (!testing::test_device().is_cpu()) GTEST_SKIP() << "threads are the CPU's";
  for (const char* name : {"pipeline", "pipeline_sd3"}) {
    const auto opened = open_model(testing::golden(name).string());
    ASSERT_TRUE(opened) << opened.error().message();
    Pipeline& pipeline = **opened;
    RunSettings settings;
    settings.pairs = {{"says \"one\"", "says \"two\"", "one", "two"}, {"a big \"red\" sign", "a big \"sky\" sign", "red", "sky"}};
    settings.seeds = {3, 4, 5};
    settings.sampling.steps = 2;
    settings.sampling = pipeline.resolve(settings.sampling);
    NearestPicture reader({{"one", torch::zeros({3, settings.sampling.height, settings.sampling.width})}});
    const auto measured = [&](int threads, bool together) {
      const ComputeThreads some(threads);
      std::int64_t progress = 0;
      RunObserver observer;
      observer.progress = [&](const Progress& p) {
        EXPECT_GE(p.done, 0);
        ++progress;
      };
      Cells cells(settings, nullptr, pipeline, reader, observer, {});
      // Of one cell alone there is no next one.
      const auto answer = [&](const char* name, const std::vector<Variant>& variants) {
        if (together) return cells.answer({{name, "", variants, settings.cells()}});
        for (const Cell& cell : settings.cells()) cells.answer({{name, "", variants, {cell}}});
      };
      answer("own", {});
      // Of one cell everything is known already.
      cells.answer({{"first", "", {sites_variant({1}, 0)}, {settings.cells()[1]}}});
      answer("all", {sites_variant({1}, 0)});
      EXPECT_GT(progress, 0);
      std::vector<Scores> out;
      for (const Cell& cell : settings.cells())
        for (const Variant& one : {own_picture(0), own_picture(1), sites_variant({1}, 0)}) {
          const MeasuredVariant* found = cells.find(cell, one);
          if (found) out.push_back(found->scores);
        }
      return out;
    };
    // With another number of threads, sums are rounded otherwise on some processors: the promise is of one number.
    for (const int threads : {2, 4, 7}) {
      const auto alone = measured(threads, false);
      ASSERT_EQ(alone.size(), 18u);
      EXPECT_NE(alone[2].at("mse"), alone[5].at("mse")) << "cells differ";
      EXPECT_TRUE(measured(threads, true) == alone) << name << ", " << threads << " threads";
    }
  }
}

TEST(PromptSet, MakesPairsOfTemplatesAndWords) {
  const auto pairs = make_pairs({"a \"<text>\"", "the \"<text>\""}, {"v", "w", "x", "y", "z"}, 4);
  EXPECT_EQ(pairs[0].source, "a \"v\"");
  EXPECT_EQ(pairs[0].target, "a \"w\"");
  EXPECT_EQ(pairs[1].source, "the \"x\"");
  EXPECT_EQ(pairs[1].target_text, "y");
  EXPECT_EQ(pairs[2].source, "the \"v\"") << "again, in another template; z has none to be paired with";
  EXPECT_THAT(testing::failure_of([] { make_pairs({"no slot"}, {"x", "y"}, 1); }), ::testing::HasSubstr("has no <text>"));
  EXPECT_THAT(testing::failure_of([] { make_pairs({"<text>"}, {"x"}, 1); }), ::testing::HasSubstr("at least two words"));
}

TEST(PromptSet, WhatIsWrongWithAPromptOfAFileIsNamedByItsLine) {
  testing::TemporaryFolder folder;
  write_text(folder / "prompts.txt", "# signs\n\na sign \"A\"\na (wall:99)\n");
  EXPECT_THAT(testing::failure_of([&] { read_prompts(folder / "prompts.txt"); }),
              ::testing::AllOf(::testing::HasSubstr("prompts.txt, line 4"), ::testing::HasSubstr("weight")));
  write_text(folder / "prompts.txt", "a sign \"A\"\n  a wall\n");
  EXPECT_EQ(read_prompts(folder / "prompts.txt"), (std::vector<std::string>{"a sign \"A\"", "a wall"}));
  EXPECT_THAT(testing::failure_of([&] { read_prompts(folder / "prompts.txt", true); }), ::testing::HasSubstr("prompts.txt, line 2"));
  write_text(folder / "prompts.txt", "\n");
  EXPECT_THAT(testing::failure_of([&] { read_prompts(folder / "prompts.txt"); }), ::testing::HasSubstr("no prompt"));
  write_text(folder / "pairs.txt", "a (\"CAT\":99)\ta \"DOG\"\n");
  EXPECT_THAT(testing::failure_of([&] { read_pairs(folder / "pairs.txt"); }), ::testing::HasSubstr("pairs.txt, line 1"));
}

TEST(PromptSet, AThirdPromptIsNamed) {
  testing::TemporaryFolder folder;
  write_text(folder / "pairs.txt", "# A and B\nsays \"A\"\tsays \"B\"\tsays \"C\"\n");
  EXPECT_THAT(testing::failure_of([&] { read_pairs(folder / "pairs.txt"); }),
              ::testing::AllOf(::testing::HasSubstr("more than two"), ::testing::HasSubstr("line 2")));
}

TEST(PromptSet, ReadsPairsOfAFile) {
  testing::TemporaryFolder folder;
  write_text(folder / "pairs.txt", "# comment\nsays \"A\"\tsays \"B\"\r\n\nsays \u201cC\u201d\tsays \"D E\"\n");
  const auto pairs = read_pairs(folder / "pairs.txt");
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[1].source_text, "C");
  EXPECT_EQ(pairs[1].target_text, "D E");
  write_text(folder / "pairs.txt", "says \"A\"\nsays B\tsays C\n");
  EXPECT_THAT(testing::failure_of([&] { read_pairs(folder / "pairs.txt"); }), ::testing::HasSubstr("line 1"));
}

}  // namespace
}  // namespace glyphscope
