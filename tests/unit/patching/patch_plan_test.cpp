#include "patching/patch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/random.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::failure_of;
using ::testing::HasSubstr;

SiteTable table(int sites, int heads) {
  SiteTable out;
  for (int i = 0; i < sites; ++i) out.sites.push_back({.index = i, .heads = heads, .kv_parameters = 10});
  out.denoiser_parameters = 1000;
  return out;
}

TEST(PatchPlan, HeadsAreReadByNumber) {
  const SiteTable sites = table(9, 4);
  using Heads = std::map<int, std::vector<int>>;
  EXPECT_EQ(parse_heads("", {5, 8}, sites), Heads());
  EXPECT_EQ(parse_heads("0,2", {5, 8}, sites), (Heads{{5, {0, 2}}, {8, {0, 2}}}));
  EXPECT_EQ(parse_heads("5:0,2; 8:1-3", {5, 8}, sites), (Heads{{5, {0, 2}}, {8, {1, 2, 3}}}));
  EXPECT_EQ(parse_heads(format_heads({{5, {0, 2}}, {8, {1, 2, 3}}}), {5, 8}, sites), (Heads{{5, {0, 2}}, {8, {1, 2, 3}}}));
  EXPECT_THAT(failure_of([&] { parse_heads("4", {5}, sites); }), HasSubstr("'4' names no heads of site 5, which has 0 to 3"));
  EXPECT_THAT(failure_of([&] { parse_heads("7:1", {5}, sites); }), HasSubstr("site 7, which is not among the sites"));
  EXPECT_THAT(failure_of([&] { parse_heads("x", {5}, sites); }), HasSubstr("'x' names no heads"));
}

TEST(PatchPlan, OrderOfSitesAndHeadsDoesNotMatter) {
  const PatchPlan a({{.site = 3, .prompt = 1, .heads = {2, 0}}, {.site = 1, .prompt = 1}}),
      b({{.site = 1, .prompt = 1}, {.site = 3, .prompt = 1, .heads = {0, 2, 2}}});
  EXPECT_EQ(a, b);
  EXPECT_NE(a, PatchPlan::at_sites({1, 3}, 1));
}

TEST(PatchPlan, SurvivesItsDocument) {
  Choice choice(1);
  for (int i = 0; i < 200; ++i) {
    std::vector<SitePatch> patches;
    for (int k = choice.below(5); k > 0; --k) {
      SitePatch patch{
          .site = choice.below(9), .prompt = choice.below(3), .heads = {}, .streams = static_cast<Streams>(choice.below(3)), .from_step = choice.below(10)};
      for (int h = choice.below(4); h > 0; --h) patch.heads.push_back(choice.below(8));
      if (choice.below(2)) patch.to_step = 10 + choice.below(10);
      patches.push_back(patch);
    }
    const PatchPlan plan(patches);
    EXPECT_EQ(PatchPlan::from_json(nlohmann::json::parse(plan.to_json().dump())), plan);
  }
}

TEST(PatchPlan, NamesTheWrongEntry) {
  const SiteTable sites = table(4, 2);
  EXPECT_EQ(failure_of([&] { PatchPlan::at_sites({0, 3}, 1).validate(sites, 2); }), "");
  EXPECT_THAT(failure_of([&] { PatchPlan::at_sites({0, 4}, 1).validate(sites, 2); }), HasSubstr("there is no site 4 (patch 1 of the plan)"));
  EXPECT_THAT(failure_of([&] { PatchPlan(std::vector<SitePatch>{{.site = 1, .heads = {2}}}).validate(sites, 2); }), HasSubstr("site 1 has no head 2"));
  EXPECT_THAT(failure_of([&] { PatchPlan::at_sites({0}, 2).validate(sites, 2); }), HasSubstr("there is no prompt 2"));
  EXPECT_THAT(failure_of([&] { PatchPlan::at_sites({0}, 1, 5, 3).validate(sites, 2); }), HasSubstr("no range"));
}

TEST(PatchPlan, AStrengthIsAShare) {
  const SiteTable sites = table(4, 2);
  const auto at = [](double strength) { return PatchPlan(std::vector<SitePatch>{{.site = 1, .prompt = 1, .strength = strength}}); };
  for (const double strength : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THAT(failure_of([&] { at(strength).validate(sites, 2); }), HasSubstr("strength")) << strength;
  at(0.25).validate(sites, 2);
  EXPECT_EQ(PatchPlan::from_json(at(0.25).to_json()), at(0.25));
  EXPECT_FALSE(at(1).to_json()[0].contains("strength"));
}

TEST(Sites, AreWrittenAsPeopleWriteThem) {
  const SiteTable sites = table(20, 1);
  EXPECT_EQ(parse_sites("5,7-9", sites), (std::vector<int>{5, 7, 8, 9}));
  EXPECT_EQ(parse_sites("9,7-9,0", sites), (std::vector<int>{0, 7, 8, 9}));
  EXPECT_EQ(format_sites({0, 7, 8, 9, 12, 13}), "0,7-9,12,13");
  for (const char* wrong : {"", "x", "3-", "-3", "7-5", "20", "1,,2", "1;2", "1 2", "99999999999"})
    EXPECT_NE(failure_of([&] { parse_sites(wrong, sites); }), "") << wrong;
  Choice choice(2);
  for (int i = 0; i < 200; ++i) {
    std::vector<int> chosen;
    for (int site = 0; site < 20; ++site)
      if (choice.below(2)) chosen.push_back(site);
    if (!chosen.empty()) EXPECT_EQ(parse_sites(format_sites(chosen), sites), chosen);
  }
}

TEST(SiteTable, SharesAreOfTheWholeDenoiser) { EXPECT_DOUBLE_EQ(table(4, 2).share({1, 2}), 0.02); }

}  // namespace
}  // namespace glyphscope
