// A search that does not try every site on every cell finds what is planted, in far fewer pictures.
#include "experiments/adaptive_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "core/random.h"
#include "experiments/certificate.h"
#include "experiments/merge.h"
#include "io/files.h"
#include "tests/support/golden.h"
#include "tests/support/synthetic.h"

namespace glyphscope {
namespace {

using ::testing::ElementsAre;
using testing::has_site;
using ::testing::IsEmpty;
using testing::SyntheticPipeline;
using testing::SyntheticReader;

// 16 pairs of words of 16 letters, of which the two share one, and 4 noises.
RunSettings sixteen_words(const Pipeline& pipeline) {
  RunSettings out;
  for (int pair = 0; pair < 16; ++pair) {
    const std::string a(16, static_cast<char>('A' + pair % 13)), b(16, static_cast<char>('a' + 13 + pair % 13));
    const std::string tail(1, static_cast<char>('0' + pair % 10));
    out.pairs.push_back({"says \"" + a.substr(1) + tail + "\"", "says \"" + b.substr(1) + tail + "\"", a.substr(1) + tail, b.substr(1) + tail});
  }
  out.seeds = {1, 2, 3, 4};
  out.sampling = pipeline.resolve(Request{});
  return out;
}

struct Found {
  AdaptiveSearch search;
  double ratio = 0;  // denoiser rows of trying every site on every cell, over those of the search, gradients among them
};

Found search(SyntheticPipeline& pipeline, const RunSettings& settings) {
  pipeline.graded = true;
  SyntheticReader reader;
  const RunObserver observer;
  Cells cells(settings, nullptr, pipeline, reader, observer, {});
  Found out{search_adaptively(cells, pipeline.info().table, 0, settings.cells(), 0.9), 0};
  EXPECT_EQ(out.search.pictures, pipeline.pictures) << "it counts what it draws";
  const auto steps = static_cast<double>(pipeline.info().default_steps);
  const double taken = static_cast<double>(pipeline.pictures) * steps + static_cast<double>(out.search.gradient_rows);
  out.ratio = static_cast<double>(settings.cells().size() * (2 + pipeline.info().table.sites.size())) * steps / taken;
  return out;
}

struct PlantedSet {
  const char* name;
  std::vector<int> sites;
  SyntheticPipeline::Rule rule;
};

struct SeventySites : ::testing::TestWithParam<PlantedSet> {};

// At least 12 times fewer denoiser rows than every site alone, which would not find those that write only together.
TEST_P(SeventySites, FindsWhatIsPlantedInATwelfthOfTheRows) {
  SyntheticPipeline pipeline(70, 1, GetParam().rule);
  const Found found = search(pipeline, sixteen_words(pipeline));
  EXPECT_EQ(found.search.sites, GetParam().sites);
  EXPECT_GE(found.ratio, 12);
  std::printf("%s: %.1f times fewer rows\n", GetParam().name, found.ratio);
  // All others together are not enough: it says so, and did not try them one by one.
  ASSERT_EQ(found.search.not_enough.size(), 1u);
  EXPECT_EQ(found.search.not_enough.front().size(), 70 - GetParam().sites.size());
}

INSTANTIATE_TEST_SUITE_P(Causes, SeventySites,
                         ::testing::Values(PlantedSet{"One", {40}, [](const PatchPlan& plan) { return has_site(plan, 40) ? 1.0 : 0.0; }},
                                           PlantedSet{"ThreeOfWhichTwoTogether",
                                                      {12, 30, 51},
                                                      [](const PatchPlan& plan) {
                                                        return 0.4 * has_site(plan, 12) + 0.6 * (has_site(plan, 30) && has_site(plan, 51));
                                                      }},
                                           PlantedSet{"FiveOfWhichTwoTogether",
                                                      {3, 20, 41, 55, 69},
                                                      [](const PatchPlan& plan) {
                                                        return 0.2 * (has_site(plan, 3) + has_site(plan, 20) + has_site(plan, 41)) +
                                                               0.4 * (has_site(plan, 55) && has_site(plan, 69));
                                                      }}),
                         [](const auto& info) { return std::string(info.param.name); });

// Rows grow far slower than sites: by the steps of a search, not by its length.
TEST(AdaptiveSearch, RowsGrowSlowerThanSites) {
  double before = 0;
  for (const int sites : {10, 40, 160, 640}) {
    SyntheticPipeline pipeline(sites, 1, [=](const PatchPlan& plan) { return has_site(plan, sites / 2) && has_site(plan, sites - 2) ? 1.0 : 0.0; });
    const Found found = search(pipeline, sixteen_words(pipeline));
    EXPECT_EQ(found.search.sites, (std::vector<int>{sites / 2, sites - 2}));
    const auto pictures = static_cast<double>(found.search.pictures);
    if (before > 0) EXPECT_LT(pictures, 1.5 * before) << "four times the sites";
    before = pictures;
    std::printf("%d sites: %.0f pictures, every site alone %zu\n", sites, pictures, sixteen_words(pipeline).cells().size() * (2 + static_cast<size_t>(sites)));
  }
}

// However bad the gradients are, what is found is right: they only say where to look first.
TEST(AdaptiveSearch, BadGradientsCostRowsAndNothingElse) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    SyntheticPipeline pipeline(30, 1, [](const PatchPlan& plan) { return 0.5 * has_site(plan, 7) + 0.5 * has_site(plan, 22); });
    pipeline.gradient_noise = 100;
    RunSettings settings = sixteen_words(pipeline);
    settings.seeds = {seed, seed + 10};
    EXPECT_THAT(search(pipeline, settings).search.sites, ElementsAre(7, 22));
  }
}

// The smaller of two sets that are each enough is found, though gradients put the other first.
TEST(AdaptiveSearch, FindsTheSmallerOfTwoSets) {
  SyntheticPipeline pipeline(20, 1, [](const PatchPlan& plan) {
    return std::max(has_site(plan, 9) ? 1.0 : 0.0, has_site(plan, 2) && has_site(plan, 3) && has_site(plan, 4) ? 1.0 : 0.0);
  });
  EXPECT_THAT(search(pipeline, sixteen_words(pipeline)).search.sites, ElementsAre(9));
}

TEST(AdaptiveSearch, OfNoCauseFindsNone) {
  SyntheticPipeline pipeline(20, 1, [](const PatchPlan&) { return 0.1; });
  const Found found = search(pipeline, sixteen_words(pipeline));
  EXPECT_THAT(found.search.sites, IsEmpty());
  EXPECT_GE(found.ratio, 5);
}

// A run that was stopped goes on to the same card; and of its cells alone it is made again.
TEST(AdaptiveSearch, ACardGoesOnAndIsMadeOfItsCells) {
  SyntheticPipeline pipeline(12, 1, [](const PatchPlan& plan) { return 0.5 * has_site(plan, 4) + 0.5 * has_site(plan, 9); });
  pipeline.graded = true;
  SyntheticReader reader;
  CertifySettings settings;
  static_cast<RunSettings&>(settings) = sixteen_words(pipeline);
  settings.search = SetSearch::adaptive;
  const testing::TemporaryFolder folder;
  const RunObserver observer;
  const auto draw = [&](const std::string& name, const CancelToken& cancel) {
    RunFolder run(folder / name, describe_run(settings, pipeline.info(), reader.name()));
    Cells cells(settings, &run, pipeline, reader, observer, cancel);
    const Certificate card = certify(cells, settings, pipeline.info().table);
    write_card(card, settings, pipeline.info(), reader.name(), {}, run.path());
    return card;
  };
  const Certificate whole = draw("whole", {});
  EXPECT_THAT(whole.chosen, ElementsAre(4, 9));
  EXPECT_TRUE(whole.sufficient && whole.necessary && whole.beats_controls);
  EXPECT_GT(whole.search->rank_correlation, 0.5);
  RunObserver stops;
  const CancelToken cancel;
  int told = 0;
  stops.progress = [&](const Progress&) {
    if (++told == 40) cancel.cancel();
  };
  {
    RunFolder run(folder / "stopped", describe_run(settings, pipeline.info(), reader.name()));
    Cells cells(settings, &run, pipeline, reader, stops, cancel);
    EXPECT_THROW(certify(cells, settings, pipeline.info().table), Failure);
  }
  draw("stopped", {});
  EXPECT_EQ(read_json(folder / "stopped/card.json"), read_json(folder / "whole/card.json"));
  EXPECT_THAT(merge({folder / "whole"}, folder / "merged").written, ElementsAre("card.json", "card.png"));
}

// Of two processes that take the gradients of one cell, all go by those of the first; a damaged file is named.
TEST(AdaptiveSearch, GradientsAreTheFirstOnes) {
  SyntheticPipeline pipeline(3, 1, [](const PatchPlan& plan) { return has_site(plan, 1) ? 1.0 : 0.0; });
  SyntheticReader reader;
  const RunSettings settings = sixteen_words(pipeline);
  const testing::TemporaryFolder folder;
  const RunFolder run(folder / "run", describe_run(settings, pipeline.info(), reader.name()));
  const Cell cell{0, 0};
  EXPECT_TRUE(run.keep_gradients(cell, 0, Towards::prediction, {{1, 2, 3}, 10, 5}));
  EXPECT_FALSE(run.keep_gradients(cell, 0, Towards::prediction, {{4, 5, 6}, 10, 5}));
  EXPECT_THAT(run.gradients(cell, 0, Towards::prediction, 3)->effects, ElementsAre(1, 2, 3));
  EXPECT_FALSE(run.gradients(cell, 0, Towards::reader, 3)) << "towards something else";
  EXPECT_FALSE(run.gradients(cell, 1, Towards::prediction, 3)) << "from another step on";
  EXPECT_THAT(testing::failure_of([&] { run.gradients(cell, 0, Towards::prediction, 4); }), ::testing::HasSubstr("gradients/pair0-noise0-from0.json"));
}

TEST(AdaptiveSearch, RankCorrelationIsSpearmans) {
  // scipy.stats.spearmanr
  EXPECT_NEAR(rank_correlation({1, 2, 3, 4, 5}, {5, 6, 7, 8, 7}), 0.8207826816681233, 1e-12);
  EXPECT_NEAR(rank_correlation({1, 2, 2, 5}, {4, 3, 1, 0}), -0.9486832980505139, 1e-12);
  EXPECT_EQ(rank_correlation({1, 1, 1}, {1, 2, 3}), 0);
}

}  // namespace
}  // namespace glyphscope
