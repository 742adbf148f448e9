// Certificates of models whose right answer is known.
#include "experiments/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "experiments/merge.h"
#include "experiments/planner.h"
#include "io/files.h"
#include "io/image_file.h"
#include "tests/support/golden.h"
#include "tests/support/synthetic.h"

namespace glyphscope {
namespace {

using testing::certify_settings;
using ::testing::ElementsAre;
using testing::has_site;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SyntheticPipeline;
using testing::SyntheticReader;

bool is_reverse(const PatchPlan& plan) { return plan.patches().front().prompt == 0; }

Certificate certificate_of(SyntheticPipeline& pipeline, const CertifySettings& settings) {
  SyntheticReader reader;
  const RunObserver observer;
  Cells cells(settings, nullptr, pipeline, reader, observer, {});
  return certify(cells, settings, pipeline.info().table);
}

const SetEvidence& set_of(const Certificate& certificate, SetRole role) {
  return *std::find_if(certificate.sets.begin(), certificate.sets.end(), [&](const SetEvidence& one) { return one.role == role; });
}

TEST(Certificate, OfOneCause) {
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 1.0 : 0.0; });
  const Certificate found = certificate_of(pipeline, certify_settings(pipeline));
  EXPECT_THAT(found.discovered, ElementsAre(3));
  EXPECT_THAT(found.chosen, ElementsAre(3));
  EXPECT_TRUE(found.sufficient && found.necessary && found.beats_controls);
  EXPECT_NEAR(set_of(found, SetRole::necessity).scores.at("source_f1").mean, 1, 1e-12) << "B's picture, where site 3 sees A, says A";
  EXPECT_EQ(set_of(found, SetRole::complement).variant.sites().size(), 6u);
  EXPECT_LT(set_of(found, SetRole::complement).scores.at("target_f1").mean, 0.5);
  EXPECT_EQ(std::count_if(found.sets.begin(), found.sets.end(), [](const SetEvidence& set) { return set.role == SetRole::all_sites; }), 0)
      << "a set is enough: all sites need not be asked";
}

// Either of two sites is enough: none is needed.
TEST(Certificate, OfACauseThatIsEnoughButNotNeeded) {
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan& plan) {
    return is_reverse(plan) ? (has_site(plan, 1) && has_site(plan, 3) ? 1.0 : 0.0) : (has_site(plan, 1) || has_site(plan, 3) ? 1.0 : 0.0);
  });
  CertifySettings settings = certify_settings(pipeline);
  settings.players = 3;
  const Certificate found = certificate_of(pipeline, settings);
  EXPECT_THAT(found.discovered, ElementsAre(1, 3));
  EXPECT_EQ(found.chosen.size(), 1u);
  EXPECT_TRUE(found.sufficient);
  EXPECT_FALSE(found.necessary);
  // What the second adds, where the first is there, is nothing: together they do less than each alone would make one think.
  const auto both = std::find_if(found.interactions.begin(), found.interactions.end(), [](const auto& one) { return one.first == 1 && one.second == 3; });
  ASSERT_NE(both, found.interactions.end());
  EXPECT_LT(*both->value.high, -0.5);
}

// Two sites write only together: neither is discovered alone, and both are found.
TEST(Certificate, OfTwoSitesThatWriteTogether) {
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan& plan) {
    return is_reverse(plan) ? (has_site(plan, 1) || has_site(plan, 3) ? 1.0 : 0.0) : (has_site(plan, 1) && has_site(plan, 3) ? 1.0 : 0.0);
  });
  const Certificate found = certificate_of(pipeline, certify_settings(pipeline));
  EXPECT_THAT(found.discovered, IsEmpty());
  EXPECT_THAT(found.chosen, ElementsAre(1, 3));
  EXPECT_TRUE(found.sufficient && found.necessary && found.beats_controls);
  const auto both = std::find_if(found.interactions.begin(), found.interactions.end(), [](const auto& one) { return one.first == 1 && one.second == 3; });
  ASSERT_NE(both, found.interactions.end());
  EXPECT_GT(*both->value.low, 0.5);
  double sum = 0;
  for (size_t i = 0; i < found.players.size(); ++i) {
    const bool writes = found.players[i] == 1 || found.players[i] == 3;
    EXPECT_NEAR(found.shapley[i].mean, writes ? both->value.mean / 2 : 0, 1e-9);
    sum += found.shapley[i].mean;
  }
  EXPECT_NEAR(sum, both->value.mean, 1e-9);
}

TEST(Certificate, OfNoCauseClaimsNothing) {
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan&) { return 0.02; });
  const Certificate found = certificate_of(pipeline, certify_settings(pipeline));
  EXPECT_THAT(found.chosen, IsEmpty());
  EXPECT_FALSE(found.sufficient || found.necessary || found.beats_controls);
  for (const auto& badge : card_figure(found, pipeline.info()).badges) EXPECT_THAT(badge.text, ::testing::StartsWith("not shown to be "));
  // That not even all sites together do it is told, where nothing else can be.
  EXPECT_LT(set_of(found, SetRole::all_sites).scores.at("target_f1").mean, 0.5);
}

// What an adaptive search chose on some words is judged by others: a site that wrote in the chosen noise alone has no evidence.
TEST(Certificate, EvidenceOfASearchIsNotOfTheCellsItSearched) {
  SyntheticPipeline lucky(7, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 1.0 : 0.0; });
  CertifySettings settings = certify_settings(lucky);
  lucky.only_seed = settings.seeds.front();
  settings.search = SetSearch::adaptive;
  const Certificate found = certificate_of(lucky, settings);
  EXPECT_THAT(found.chosen, ElementsAre(3));
  EXPECT_THAT(found.discovered, IsEmpty());
  EXPECT_EQ(found.sites[3].scores.at("target_f1").n, static_cast<std::int64_t>(found.parts.reporting.size()));
  for (const auto& site : found.sites) EXPECT_EQ(site.tried, site.site == 3) << site.site;
  SyntheticPipeline honest(7, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 1.0 : 0.0; });
  EXPECT_THAT(certificate_of(honest, settings).discovered, ElementsAre(3));
}

// A site that writes in one noise only is chosen by that noise, and does not pass on the others.
TEST(Certificate, WhatHoldsForOneNoiseDoesNotPass) {
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 1.0 : 0.0; });
  CertifySettings settings = certify_settings(pipeline);
  SyntheticPipeline lucky(7, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 1.0 : 0.0; });
  lucky.only_seed = settings.seeds.front();
  const Certificate found = certificate_of(lucky, settings);
  EXPECT_THAT(found.chosen, ElementsAre(3));
  EXPECT_FALSE(found.sufficient);
}

TEST(Certificate, WordsAndNoisesOfItsPartsAreApart) {
  SyntheticPipeline pipeline(1, 1, [](const PatchPlan&) { return 0.0; });
  for (const int noises : {1, 2, 4, 8}) {
    const CertifySettings settings = certify_settings(pipeline, 9, noises);
    const Parts parts = parts_of(settings);
    std::set<std::string> words;
    std::set<int> seeds;
    for (const Cell& cell : parts.choosing) {
      words.insert(settings.pairs[static_cast<size_t>(cell.pair)].source_text);
      seeds.insert(cell.noise);
    }
    for (const Cell& cell : parts.reporting) {
      EXPECT_FALSE(words.contains(settings.pairs[static_cast<size_t>(cell.pair)].source_text));
      if (noises >= 4) EXPECT_FALSE(seeds.contains(cell.noise));
    }
    EXPECT_EQ(parts.noises_apart, noises >= 4);
    EXPECT_TRUE(parts.words_apart);
    EXPECT_FALSE(parts.choosing.empty() || parts.reporting.empty());
  }
}

// Shards that fill one folder in turn, round by round, make the card of one process.
TEST(Certificate, ShardsMakeTheSame) {
  SyntheticPipeline pipeline(9, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 0.9 : 0.05; });
  SyntheticReader reader;
  const CertifySettings settings = certify_settings(pipeline, 12);
  const testing::TemporaryFolder folder;
  const RunObserver observer;
  const auto draw = [&](const std::string& name, Shard shard) {
    RunFolder run(folder / name, describe_run(settings, pipeline.info(), reader.name()));
    Cells cells(settings, &run, pipeline, reader, observer, {}, shard);
    try {
      write_card(certify(cells, settings, pipeline.info().table), settings, pipeline.info(), reader.name(), {}, run.path());
    } catch (const RunIncomplete&) {
      return false;
    }
    return true;
  };
  ASSERT_TRUE(draw("whole", {}));
  int rounds = 0;
  for (bool done = false; !done && rounds < 20; ++rounds)
    for (const int index : {1, 0, 2}) done = draw("run", {index, 3}) || done;
  EXPECT_GT(rounds, 1);
  const auto results = [&](const std::string& name) {
    auto card = read_json(folder / name / "card.json");
    for (const char* key : {"seconds", "peak_memory_bytes"}) card.erase(key);
    return card.dump();
  };
  EXPECT_EQ(results("run"), results("whole"));
  // And without the model, of its cells alone.
  std::filesystem::remove(folder / "run/card.json");
  EXPECT_THAT(merge({folder / "run"}, folder / "merged").written, ElementsAre("card.json", "card.png"));
  auto merged = read_json(folder / "merged/card.json"), whole = read_json(folder / "whole/card.json");
  for (auto* one : {&merged, &whole})
    for (const char* key : {"seconds", "peak_memory_bytes"}) one->erase(key);
  EXPECT_EQ(merged, whole);
  EXPECT_THAT(testing::failure_of([&] {
                CertifySettings other = settings;
                other.players = 12;
                certificate_of(pipeline, other);
              }),
              HasSubstr("Choose up to 11"));
}

// A localization and a certificate, and maps, are questions to one folder.
TEST(Certificate, SharesAFolderWithALocalization) {
  // Two sites together, so that both search.
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan& plan) { return has_site(plan, 1) && has_site(plan, 3) ? 1.0 : 0.0; });
  SyntheticReader reader;
  const CertifySettings settings = certify_settings(pipeline);
  LocalizationSettings localization;
  static_cast<RunSettings&>(localization) = settings;
  const testing::TemporaryFolder folder;
  const LocalizationObserver observer;
  RunFolder run(folder / "run", describe_run(settings, pipeline.info(), reader.name()));
  Cells cells(settings, &run, pipeline, reader, observer, {});
  EXPECT_THAT(run_localization(cells, localization, pipeline.info().table, observer).smallest, ElementsAre(1, 3));
  const std::int64_t pictures = pipeline.pictures;
  EXPECT_THAT(certify(cells, settings, pipeline.info().table).chosen, ElementsAre(1, 3));
  // Single sites on the words and noises that choose are there already.
  EXPECT_LT(pipeline.pictures - pictures, 24 * 20);
}

TEST(Certificate, WithoutControlsItBeatsNone) {
  SyntheticPipeline pipeline(3, 1, [](const PatchPlan& plan) { return has_site(plan, 1) ? 1.0 : 0.0; });
  CertifySettings settings = certify_settings(pipeline);
  settings.random_sets = 0;
  const Certificate found = certificate_of(pipeline, settings);
  EXPECT_TRUE(found.sufficient);
  EXPECT_FALSE(found.beats_controls);
}

// The plan of what is certain is what is drawn; the rest is at most what it says.
TEST(Certificate, IsPlannedBefore) {
  SyntheticPipeline pipeline(7, 1, [](const PatchPlan& plan) { return has_site(plan, 3) ? 1.0 : 0.0; });
  const CertifySettings settings = certify_settings(pipeline);
  const RunPlan plan = plan_certificate(pipeline, settings);
  certificate_of(pipeline, settings);
  EXPECT_LE(pipeline.pictures, plan.pictures());
  EXPECT_EQ(plan.questions.front().pictures, 8 * (2 + 7));
}

}  // namespace
}  // namespace glyphscope
