// Maps of effects on models whose right answer is known: what is planted is what they show, on every axis.
#include "experiments/map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "experiments/merge.h"
#include "experiments/planner.h"
#include "io/files.h"
#include "io/image_file.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/synthetic.h"

namespace glyphscope {
namespace {

using testing::has_site;
using ::testing::HasSubstr;
using testing::SyntheticPipeline;
using testing::SyntheticReader;

RunSettings run_settings(const Pipeline& pipeline, size_t pairs = 2) {
  RunSettings out;
  out.pairs = make_pairs({"says \"<text>\""}, {"one", "two", "six", "ten", "red", "cat", "sun", "fox", "hat", "ice", "jam", "owl"}, pairs);
  out.sampling = pipeline.resolve(Request{});
  return out;
}

Scope scope_of(const Pipeline& pipeline) {
  Scope out;
  out.steps = static_cast<int>(pipeline.info().default_steps);
  out.encoders = pipeline.info().encoders;
  return out;
}

EffectMap map_of(SyntheticPipeline& pipeline, const std::string& by, const Scope& scope) {
  SyntheticReader reader;
  const RunObserver observer;
  const RunSettings settings = run_settings(pipeline);
  Cells cells(settings, nullptr, pipeline, reader, observer, {});
  return run_map(cells, settings, pipeline.info().table, Axes::parse(by), scope);
}

// Labels of the grid's cells that say the other prompt's text; of necessity, that no longer say their own.
std::vector<std::string> causes(const EffectMap& map) {
  std::vector<std::string> out;
  for (size_t i = 0; i < map.grid.cells.size(); ++i)
    if (map.grid.cells[i] && map.scores[i].at(map.grid.cells[i]->base == 0 ? "target_f1" : "source_f1").mean > 0.9) out.push_back(map.grid.cells[i]->label);
  return out;
}

struct Planted {
  const char* name;
  const char* by;
  SyntheticPipeline::Rule rule;
  std::vector<std::string> found;
};

struct EveryAxis : ::testing::TestWithParam<Planted> {};

TEST_P(EveryAxis, ShowsWhatIsPlanted) {
  SyntheticPipeline pipeline(5, 4, GetParam().rule);
  EXPECT_EQ(causes(map_of(pipeline, GetParam().by, scope_of(pipeline))), GetParam().found);
}

// A patch at site 3 that does all that it is asked to.
SyntheticPipeline::Rule at_site_3(std::function<bool(const SitePatch&)> rule) {
  return [rule](const PatchPlan& plan) {
    return std::any_of(plan.patches().begin(), plan.patches().end(), [&](const SitePatch& patch) { return patch.site == 3 && rule(patch); }) ? 1.0 : 0.0;
  };
}

INSTANTIATE_TEST_SUITE_P(
    Causes, EveryAxis,
    ::testing::Values(
        Planted{"Site", "site", at_site_3([](const SitePatch&) { return true; }), {"3"}},
        Planted{"Steps", "site-step", at_site_3([](const SitePatch& patch) { return patch.from_step <= 4 && patch.to_step > 5; }), {"3,4-5"}},
        Planted{"StepsOfAll", "step", at_site_3([](const SitePatch& patch) { return patch.to_step > 8; }), {"8-9"}},
        Planted{"Head", "site-head", at_site_3([](const SitePatch& patch) { return patch.heads.empty() || patch.heads == std::vector<int>{2}; }), {"3,2"}},
        Planted{"ValuesAlone", "site-stream", at_site_3([](const SitePatch& patch) { return patch.streams != Streams::key; }), {"3,V", "3,K and V"}},
        Planted{"TextTokens",
                "token-group",
                at_site_3([](const SitePatch& patch) { return patch.tokens.empty() || patch.tokens == std::vector<TokenGroup>{TokenGroup::text}; }),
                {"text"}},
        Planted{"Encoder",
                "site-encoder",
                at_site_3([](const SitePatch& patch) { return patch.encoders.empty() || patch.encoders == std::vector<TokenEncoder>{TokenEncoder::t5}; }),
                {"3,t5"}},
        // Enough on either site alone, so that none of them is needed; all but one of the two is enough too.
        Planted{"EnoughButNotNeeded",
                "site-direction",
                [](const PatchPlan& plan) {
                  const bool reverse = plan.patches().front().prompt == 0;
                  return reverse ? has_site(plan, 1) && has_site(plan, 3) : has_site(plan, 1) || has_site(plan, 3);
                },
                {"0,complement", "1,sufficiency", "1,complement", "2,complement", "3,sufficiency", "3,complement", "4,complement"}},
        // Two sites write together: each is needed, none is enough.
        Planted{"NeededButNotEnough",
                "site-direction",
                [](const PatchPlan& plan) {
                  const bool reverse = plan.patches().front().prompt == 0;
                  return reverse ? has_site(plan, 1) || has_site(plan, 3) : has_site(plan, 1) && has_site(plan, 3);
                },
                {"0,complement", "1,necessity", "2,complement", "3,necessity", "4,complement"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Axes, AreReadAsTheyAreWritten) {
  for (const char* by : {"site", "step", "token-group", "site-step", "token-group-site", "encoder-token-group", "set-direction", "head-stream"})
    EXPECT_EQ(to_string(Axes::parse(by)), by);
  for (const char* wrong : {"", "sites", "site-", "site-site", "site-set", "site-step-head", "-site", "token"})
    EXPECT_THAT(testing::failure_of([&] { Axes::parse(wrong); }), HasSubstr("by")) << wrong;
}

TEST(Axes, WhatTheModelDoesNotHaveIsRefused) {
  SyntheticPipeline pipeline(3, 2, [](const PatchPlan&) { return 0.0; });
  const SiteTable& table = pipeline.info().table;
  Scope scope = scope_of(pipeline);
  scope.step_ranges = 11;
  EXPECT_THAT(testing::failure_of([&] { make_grid(Axes::parse("step"), scope, table); }), HasSubstr("10 steps cannot be parted into 11"));
  EXPECT_THAT(testing::failure_of([&] { make_grid(Axes::parse("set"), scope, table); }), HasSubstr("no set of sites"));
  scope.encoders = {TokenEncoder::clip};
  EXPECT_THAT(testing::failure_of([&] { make_grid(Axes::parse("encoder"), scope, table); }), HasSubstr("one encoder"));
  scope.sites = {1};
  scope.sets = {{1, 2}};
  EXPECT_THAT(testing::failure_of([&] { make_grid(Axes::parse("set"), scope, table); }), HasSubstr("not among the sites"));
  scope = scope_of(pipeline);
  scope.direction = Direction::complement;
  EXPECT_THAT(testing::failure_of([&] { make_grid(Axes::parse("step"), scope, table); }), HasSubstr("nothing is left to patch"));
  EXPECT_THAT(testing::failure_of([&] { parse_sets("1;7", table); }), HasSubstr("0 to 2"));
  EXPECT_EQ(parse_sets("1;0,2;all", table), (std::vector<std::vector<int>>{{1}, {0, 2}, {0, 1, 2}}));
}

// Ranges of steps part the run: each step is in one.
TEST(Axes, RangesOfStepsPartTheRun) {
  SyntheticPipeline pipeline(1, 1, [](const PatchPlan&) { return 0.0; });
  Scope scope = scope_of(pipeline);
  for (const int from : {0, 1, 4})
    for (int ranges = 1; ranges <= 10 - from; ++ranges) {
      scope.from_step = from;
      scope.step_ranges = ranges;
      const Grid grid = make_grid(Axes::parse("step"), scope, pipeline.info().table);
      for (int step = 0; step < 10; ++step) {
        const auto active = std::count_if(grid.cells.begin(), grid.cells.end(), [&](const auto& one) { return one->plan.patches().front().active(step); });
        EXPECT_EQ(active, step >= from ? 1 : 0) << step << " of " << ranges << " from " << from;
      }
    }
}

// Questions that differ have files of other names.
TEST(Map, NamesTellWhatIsAsked) {
  std::set<std::string> names;
  Scope scope;
  scope.steps = 10;
  const auto add = [&](const char* by) { EXPECT_TRUE(names.insert(map_name(Axes::parse(by), scope)).second) << map_name(Axes::parse(by), scope); };
  add("site-step");
  scope.step_ranges = 2;
  add("site-step");
  scope.direction = Direction::necessity;
  add("site-step");
  scope.sites = {1, 2};
  add("site-step");
  scope.from_step = 3;
  add("site-step");
  scope.sets = {{1}, {2, 3}};
  add("set");
  scope.sets = {{1, 2}, {3}};
  add("set");
}

// A site that writes words and changes no shape: each column is of the pairs of its attribute, and the picture draws both prompts' own below.
TEST(Map, ColumnsOfAttributesAreOfTheirPairsAlone) {
  SyntheticPipeline pipeline(4, 1, [](const PatchPlan& plan) { return has_site(plan, 2) ? 1.0 : 0.0; });
  SyntheticReader reader;
  const RunObserver observer;
  RunSettings settings = run_settings(pipeline, 4);
  for (size_t i = 0; i < settings.pairs.size(); ++i) settings.pairs[i].attribute = i < 2 ? "word" : "shape";
  const auto run = [&](bool with_attributes) {
    Cells cells(settings, nullptr, pipeline, reader, observer, {});
    cells.more_scores = [](const PromptPair& pair, const torch::Tensor&, const std::string& read, Scores& scores) {
      scores["target_attribute"] = pair.attribute == "word" && read == pair.target_text ? 1 : 0;
    };
    Scope scope = scope_of(pipeline);
    if (with_attributes) scope.attributes = {"word", "shape"};
    return run_map(cells, settings, pipeline.info().table, Axes::parse("site-attribute"), scope);
  };
  const EffectMap map = run(true);
  EXPECT_EQ(map.grid.columns, (std::vector<std::string>{"word", "shape"}));
  for (size_t site = 0; site < 4; ++site) {
    EXPECT_EQ(map.scores[2 * site].at("target_attribute").mean, site == 2 ? 1 : 0) << site;
    EXPECT_EQ(map.scores[2 * site + 1].at("target_attribute").mean, 0) << site;
    EXPECT_EQ(map.scores[2 * site].at("target_attribute").n, 2);
  }
  EXPECT_EQ(map.attribute_target.at("word").at("target_attribute").mean, 1);
  EXPECT_EQ(map.attribute_target.at("shape").at("target_attribute").mean, 0);
  const Figure figure = map_figure(map, pipeline.info(), 4);
  ASSERT_EQ(figure.parts.size(), 3);
  const auto& panel = std::get<HeatPanel>(figure.parts[0].panel);
  EXPECT_EQ(panel.columns, (std::vector<std::string>{"word", "shape"}));
  EXPECT_EQ(panel.rows.back(), "B");
  EXPECT_EQ(panel.values[2][0]->mean, 1);
  EXPECT_EQ(Scope::from_json(nlohmann::json(map.scope.to_json())).attributes, map.scope.attributes);
  EXPECT_EQ(RunSettings::from_json(nlohmann::json(settings.to_json()), "").pairs[3].attribute, "shape");
  EXPECT_THAT(testing::failure_of([&] { run(false); }), HasSubstr("differ by their texts alone"));
}

// What the planner counts is what is drawn, whatever has to be drawn beside it.
TEST(Planner, CountsWhatIsDrawn) {
  for (const char* model : {"pipeline", "pipeline_sd3"}) {
    const auto opened = open_model(testing::golden(model).string());
    ASSERT_TRUE(opened);
    Request request;
    request.steps = 3;
    request.prompts = {"says \"one\"", "says \"two\""};
    for (const std::int64_t at_once : {1, 2, 3, 16}) {
      request.rows_at_once = at_once;
      for (const double guidance : {1.0, 5.0}) {
        request.guidance = guidance;
        request.rows = {
            {0, 42, {}}, {1, 42, {}}, {0, 42, PatchPlan::at_sites({0}, 1)}, {1, 42, PatchPlan::at_sites({1}, 0)}, {0, 7, PatchPlan::at_sites({1}, 1)}};
        const auto drawn = (*opened)->generate(request);
        ASSERT_TRUE(drawn) << drawn.error().message();
        EXPECT_EQ((*opened)->denoiser_rows(request), drawn->denoiser_rows) << model << ", " << at_once << " at once, guidance " << guidance;
      }
    }
  }
  SyntheticPipeline pipeline(7, 3, [](const PatchPlan&) { return 0.0; });
  SyntheticReader reader;
  const RunObserver observer;
  const RunSettings settings = run_settings(pipeline, 3);
  const Scope scope = scope_of(pipeline);
  const RunPlan plan = plan_map(pipeline, settings, Axes::parse("site-head"), scope);
  Cells cells(settings, nullptr, pipeline, reader, observer, {});
  run_map(cells, settings, pipeline.info().table, Axes::parse("site-head"), scope);
  EXPECT_EQ(plan.pictures(), pipeline.pictures);
}

// What is found four times in five at a level of 5 %: of means of n numbers, 2.8 standard errors.
TEST(Planner, TheDetectableDifferenceIsTheTextbooks) {
  EXPECT_NEAR(detectable_difference(0.5, 25), 2.801585 * 0.5 / 5, 1e-6);
  EXPECT_EQ(detectable_difference(0.5, 0), 1);
}

struct Shards : ::testing::Test {
  SyntheticPipeline pipeline{70, 2, [](const PatchPlan& plan) { return has_site(plan, 3) ? 0.8 : 0.1; }};
  SyntheticReader reader;
  testing::TemporaryFolder folder;
  RunSettings settings = run_settings(pipeline, 3);
  Scope scope = scope_of(pipeline);
  const RunObserver observer;

  // Files of the map by this shard; false if others' cells are missing.
  bool draw(const std::string& name, Shard shard, const std::string& by = "site-head") {
    RunFolder run(folder / name, describe_run(settings, pipeline.info(), reader.name()));
    Cells cells(settings, &run, pipeline, reader, observer, {}, shard);
    try {
      write_map(run_map(cells, settings, pipeline.info().table, Axes::parse(by), scope), settings, pipeline.info(), reader.name(), {}, run.path());
    } catch (const RunIncomplete&) {
      return false;
    }
    return true;
  }
  // The map's results, without what its making took.
  std::string results(const std::string& name, const std::string& by = "site-head") {
    auto document = read_json(folder / name / ("map-" + by + ".json"));
    document.erase("seconds");
    return document.dump() + read_text(folder / name / ("map-" + by + ".csv"));
  }
  void SetUp() override { settings.seeds = {42, 43}; }
};

TEST_F(Shards, MergedEqualTheWholeToTheLastDigit) {
  ASSERT_TRUE(draw("whole", {}));
  const std::int64_t whole = std::exchange(pipeline.pictures, 0);
  EXPECT_EQ(whole, 6 * (2 + 140));
  for (int index = 0; index < 4; ++index) EXPECT_FALSE(draw("part" + std::to_string(index), {index, 4}));
  EXPECT_EQ(pipeline.pictures, whole) << "no cell is drawn by two of them";
  const MergedRun some = merge({folder / "part0", folder / "part2"}, folder / "merged");
  EXPECT_THAT(some.missing, ::testing::ElementsAre("pair 0, noise 1: site-head", "pair 1, noise 1: site-head", "pair 2, noise 1: site-head"));
  EXPECT_TRUE(some.written.empty());
  const MergedRun all = merge({folder / "part1", folder / "part3"}, folder / "merged");
  EXPECT_TRUE(all.missing.empty());
  EXPECT_THAT(all.written, ::testing::Contains("map-site-head.json"));
  EXPECT_EQ(results("merged"), results("whole"));
}

// Processes that fill one folder: each goes on with the others' cells. One that was killed begins again where it was.
TEST_F(Shards, OneFolderIsFilledByAll) {
  ASSERT_TRUE(draw("whole", {}));
  EXPECT_FALSE(draw("run", {0, 3}));
  EXPECT_FALSE(draw("run", {2, 3}));
  std::filesystem::remove_all(folder / "run/cells/pair2-noise1");  // of the last, as if it had been killed
  EXPECT_FALSE(draw("run", {2, 3}));
  EXPECT_TRUE(draw("run", {1, 3, /*waits=*/true})) << "nothing is left to wait for";
  EXPECT_EQ(results("run"), results("whole"));
}

TEST_F(Shards, RunsThatDoNotBelongTogetherAreNotMerged) {
  draw("one", {0, 2});
  settings.seeds = {1, 2};
  draw("other", {1, 2});
  EXPECT_THAT(testing::failure_of([&] { merge({folder / "one", folder / "other"}, folder / "merged"); }), HasSubstr("other settings"));
  EXPECT_FALSE(std::filesystem::exists(folder / "merged"));
  EXPECT_THAT(testing::failure_of([&] { merge({folder / "nowhere"}, folder / "merged"); }), HasSubstr("no run"));
  // The same cell with another answer.
  std::filesystem::copy(folder / "one", folder / "copy", std::filesystem::copy_options::recursive);
  const auto file = folder / "copy/cells/pair0-noise0/site-head.0.json";
  auto cell = read_json(file);
  cell["measured"][0]["read"] = "something else";
  write_json(file, cell);
  EXPECT_THAT(testing::failure_of([&] {
                merge({folder / "one", folder / "copy"}, folder / "merged");
              }),
              ::testing::AllOf(HasSubstr("answer differently"), HasSubstr("pair0-noise0/site-head.0.json")));
  EXPECT_FALSE(std::filesystem::exists(folder / "merged"));
}

// What one question has drawn, another does not draw again: A's and B's pictures, and variants that both have.
TEST_F(Shards, QuestionsShareWhatTheyHave) {
  draw("run", {});
  pipeline.pictures = 0;
  draw("run", {}, "head");
  EXPECT_EQ(pipeline.pictures, 6 * 2);
  pipeline.pictures = 0;
  draw("run", {}, "head-site");
  EXPECT_EQ(pipeline.pictures, 0);
}

// What a map does not use is no part of its question.
TEST_F(Shards, OptionsThatAreNotUsedDoNotMatter) {
  draw("run", {}, "head");
  scope.step_ranges = 7;
  scope.sets = {{1}};
  pipeline.pictures = 0;
  draw("run", {}, "head");
  EXPECT_EQ(pipeline.pictures, 0);
}

TEST_F(Shards, AQuestionIsNotChangedUnderItsName) {
  RunFolder run(folder / "run", describe_run(settings, pipeline.info(), reader.name()));
  const Question question{"mine", "", {sites_variant({1}, 0)}, {{0, 0}}};
  run.ask(question);
  run.ask(question);
  EXPECT_THAT(testing::failure_of([&] { run.ask({"mine", "", {sites_variant({2}, 0)}, {{0, 0}}}); }), HasSubstr("another question"));
  ASSERT_EQ(run.questions().size(), 1u);
  EXPECT_EQ(run.questions()[0].variants, question.variants);
}

// A kept picture is what it was when it was measured, or it is not used.
TEST_F(Shards, AChangedPictureIsNamed) {
  draw("run", {});
  for (const auto& file : std::filesystem::directory_iterator(folder / "run/pictures")) write_png(file.path(), torch::zeros({3, 16, 16}, torch::kUInt8));
  EXPECT_THAT(testing::failure_of([&] { draw("run", {}, "head"); }), ::testing::AllOf(HasSubstr("pictures/"), HasSubstr("not the one")));
}

// In a U-Net, A's picture with B's values at all sites is B's picture with A's keys: one is what the other is. And at all sites, B's picture with A's keys and
// values is A's.
TEST(Directions, AgreeWhereTheyAreTheSame) {
  const auto opened = open_model(testing::golden("pipeline").string());
  ASSERT_TRUE(opened);
  const auto variant = [&](Direction direction, Streams streams) {
    Scope scope;
    scope.steps = 3;
    scope.direction = direction;
    const Grid grid = make_grid(Axes::parse("stream"), scope, (*opened)->info().table);
    return *grid.at(streams == Streams::key ? 0 : streams == Streams::value ? 1 : 2, 0);
  };
  RunSettings settings;
  settings.pairs = {{"says \"one\"", "forty blue ships at night \"two\"", "one", "two"}};
  settings.sampling.steps = 3;
  settings.sampling.guidance = 4;
  settings.sampling = (*opened)->resolve(settings.sampling);
  const Request request = cell_request(settings, {0, 0},
                                       {own_picture(0), own_picture(1), variant(Direction::sufficiency, Streams::value),
                                        variant(Direction::necessity, Streams::key), variant(Direction::necessity, Streams::key_value)});
  const auto drawn = (*opened)->generate(request);
  ASSERT_TRUE(drawn) << drawn.error().message();
  const auto& images = drawn->images;
  EXPECT_FALSE(torch::equal(images[0], images[1]));
  EXPECT_TRUE(torch::equal(images[2], images[3]));
  EXPECT_TRUE(torch::equal(images[4], images[0]));
}

}  // namespace
}  // namespace glyphscope
