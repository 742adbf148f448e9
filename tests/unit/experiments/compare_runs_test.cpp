// Two runs of models whose right answers are known: what they differ by is what is planted.
#include "experiments/compare_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "experiments/map.h"
#include "io/files.h"
#include "tests/support/golden.h"
#include "tests/support/synthetic.h"

namespace glyphscope {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using testing::has_site;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SyntheticPipeline;
using testing::SyntheticReader;

const std::vector<std::string> kWords = {"one", "two", "six", "ten", "red", "cat", "sun", "fox", "hat", "ice", "jam", "owl", "pen", "kit", "log", "mud"};

RunSettings settings_of(const Pipeline& pipeline, size_t pairs, std::vector<std::uint64_t> seeds) {
  RunSettings out;
  out.pairs = make_pairs({"says \"<text>\""}, kWords, pairs);
  out.seeds = std::move(seeds);
  out.sampling = pipeline.resolve(Request{});
  return out;
}

void draw(const fs::path& folder, const RunSettings& settings, SyntheticPipeline& pipeline) {
  SyntheticReader reader;
  const RunObserver observer;
  RunFolder run(folder, describe_run(settings, pipeline.info(), reader.name()));
  Cells cells(settings, &run, pipeline, reader, observer, {});
  Scope scope;
  scope.steps = static_cast<int>(pipeline.info().default_steps);
  scope.encoders = pipeline.info().encoders;
  run_map(cells, settings, pipeline.info().table, Axes::parse("site"), scope);
}

RunComparison compared(const fs::path& first, const fs::path& second) {
  return compare_runs(first, second, [](const Progress&) {}, {});
}

SyntheticPipeline::Rule writes_at(int site) {
  return [site](const PatchPlan& plan) { return has_site(plan, site) ? 1.0 : 0.0; };
}

const ComparedVariant& patched_at(const RunComparison& found, int site) {
  return *std::find_if(found.variants.begin(), found.variants.end(), [&](const ComparedVariant& one) { return one.variant.sites() == std::vector<int>{site}; });
}

struct CompareRuns : ::testing::Test {
  testing::TemporaryFolder folder;
};

TEST_F(CompareRuns, OfOneModelNothingDiffers) {
  SyntheticPipeline pipeline(4, 4, writes_at(2));
  draw(folder / "a", settings_of(pipeline, 8, {42, 43}), pipeline);
  draw(folder / "b", settings_of(pipeline, 8, {42, 43}), pipeline);
  const RunComparison found = compared(folder / "a", folder / "b");
  EXPECT_THAT(found.differences, IsEmpty());
  EXPECT_EQ(found.pairs, 8);
  EXPECT_EQ(found.noises, 2);
  ASSERT_EQ(found.variants.size(), 6u);  // A's own, B's own and four sites
  for (const ComparedVariant& one : found.variants) {
    EXPECT_EQ(one.cells.size(), 16u);
    EXPECT_THAT(one.differs, IsEmpty());
    for (const auto& [key, difference] : one.difference) {
      EXPECT_EQ(difference.mean, 0) << key;
      EXPECT_FALSE(difference.low) << "nothing differs, so how far it may is not known";
    }
  }
  EXPECT_EQ(found.variants[0].pictures.at("equal").mean, 1);
}

TEST_F(CompareRuns, FindsWhatIsPlanted) {
  SyntheticPipeline first(4, 4, writes_at(2)), second(4, 4, writes_at(3));
  draw(folder / "a", settings_of(first, 8, {42, 43}), first);
  draw(folder / "b", settings_of(second, 8, {42, 43}), second);
  const RunComparison found = compared(folder / "a", folder / "b");
  for (const int site : {0, 1, 2, 3}) {
    const ComparedVariant& one = patched_at(found, site);
    const Score& difference = one.difference.at("target_f1");
    // Second less first, whichever is better.
    if (site == 2) EXPECT_LT(difference.mean, -0.5);
    if (site == 3) EXPECT_GT(difference.mean, 0.5);
    if (site < 2) EXPECT_EQ(difference.mean, 0);
    EXPECT_EQ(one.differs.contains("target_f1"), site >= 2) << site;
    EXPECT_NEAR(difference.mean, one.second.at("target_f1").mean - one.first.at("target_f1").mean, 1e-12);
  }
  const auto document = found.to_json();
  EXPECT_EQ(document.at("schema"), "glyphscope.comparison/1");
  EXPECT_EQ(document.at("variants").size(), 6u);
  EXPECT_THAT(found.csv(), HasSubstr("\n3,A,target_f1,16,"));
}

// Cells are known by their prompts and seeds, not by their numbers.
TEST_F(CompareRuns, MatchesPromptsAndSeedsHoweverTheyAreNumbered) {
  SyntheticPipeline pipeline(4, 4, writes_at(2));
  draw(folder / "a", settings_of(pipeline, 8, {42, 43}), pipeline);
  RunSettings other = settings_of(pipeline, 7, {7, 43});
  std::reverse(other.pairs.begin(), other.pairs.end());
  other.sampling.steps += 1;
  draw(folder / "b", other, pipeline);
  const RunComparison found = compared(folder / "a", folder / "b");
  EXPECT_EQ(found.pairs, 7);
  EXPECT_EQ(found.noises, 1);
  EXPECT_THAT(found.differences, Contains(HasSubstr("steps")));
  for (const ComparedVariant& one : found.variants) {
    EXPECT_EQ(one.cells.size(), 7u);
    for (const ComparedCell& cell : one.cells) {
      EXPECT_EQ(cell.first.pair + cell.second.pair, 6);
      EXPECT_EQ(cell.first.noise, 1);
      EXPECT_EQ(cell.first_read, cell.second_read);
    }
    EXPECT_EQ(one.difference.at("target_f1").mean, 0);
  }
}

// Of models with other sites only the prompts' own pictures are the same question.
TEST_F(CompareRuns, OfOtherSitesOwnPicturesAreCompared) {
  SyntheticPipeline first(4, 4, writes_at(2)), second(5, 4, writes_at(2));
  draw(folder / "a", settings_of(first, 5, {42}), first);
  draw(folder / "b", settings_of(second, 5, {42}), second);
  const RunComparison found = compared(folder / "a", folder / "b");
  EXPECT_EQ(found.variants.size(), 2u);
  EXPECT_THAT(found.differences, Contains(HasSubstr("sites")));
}

TEST_F(CompareRuns, WhatCannotBeComparedIsSaid) {
  SyntheticPipeline pipeline(4, 4, writes_at(2));
  draw(folder / "a", settings_of(pipeline, 2, {42}), pipeline);
  draw(folder / "b", settings_of(pipeline, 2, {43}), pipeline);
  const auto nothing = attempt([&] { return compared(folder / "a", folder / "b"); });
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().message(), HasSubstr("in common"));
  fs::create_directories(folder / "empty");
  const auto none = attempt([&] { return compared(folder / "a", folder / "empty"); });
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("empty"));
  // Settings alone: nothing is measured yet.
  fs::create_directories(folder / "begun");
  fs::copy_file(folder / "a" / "settings.json", folder / "begun" / "settings.json");
  const auto begun = attempt([&] { return compared(folder / "a", folder / "begun"); });
  ASSERT_FALSE(begun);
  EXPECT_THAT(begun.error().message(), HasSubstr("nothing alike"));
  // A cut cell names its file.
  draw(folder / "c", settings_of(pipeline, 2, {42}), pipeline);
  const fs::path cell = folder / "c" / "cells" / "pair1-noise0" / "site.json";
  ASSERT_TRUE(fs::exists(cell));
  fs::resize_file(cell, fs::file_size(cell) / 2);
  const auto cut = attempt([&] { return compared(folder / "a", folder / "c"); });
  ASSERT_FALSE(cut);
  EXPECT_THAT(cut.error().message(), HasSubstr("pair1-noise0"));
}

}  // namespace
}  // namespace glyphscope
