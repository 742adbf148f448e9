// Rows that are drawn side by side, a thread each.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "pipelines/pipeline.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

struct SideBySide : ::testing::TestWithParam<const char*> {};

// However rows are shared out among threads: the same pictures, each in its place, whatever sees what.
TEST_P(SideBySide, RowsAreTheSame) {
  if (!testing::test_device().is_cpu()) GTEST_SKIP() << "threads are the CPU's";
  const auto opened = open_model(golden(GetParam()).string());
  ASSERT_TRUE(opened) << opened.error().message();
  Pipeline& pipeline = **opened;
  Request request;
  request.prompts = {"a red sign", "a blue ship at night"};
  request.steps = 3;
  request.width = request.height = 4 * pipeline.info().size_multiple;
  for (const std::uint64_t seed : {1, 2, 3}) {
    request.rows.push_back({0, seed, {}});
    request.rows.push_back({0, seed, PatchPlan::at_sites({0, 1}, 1)});
  }
  request.rows.push_back({1, 1, {}});
  Result alone, together;
  {
    const Threads one(1);
    alone = *pipeline.generate(request);
  }
  std::int64_t done = 0, total = 0;
  bool backwards = false;
  Observer observer;
  observer.progress = [&](const Progress& p) {
    backwards |= p.done < done;
    done = p.done;
    total = p.total;
  };
  {
    const Threads two(2);
    together = *pipeline.generate(request, observer);
  }
  ASSERT_EQ(together.images.size(0), 7);
  for (std::int64_t row = 0; row < 7; ++row) EXPECT_LT(relative_error(together.latents[row], alone.latents[row]), 1e-4) << row;
  EXPECT_FALSE(backwards);
  EXPECT_EQ(done, total);
  EXPECT_GT(together.denoiser_calls, alone.denoiser_calls);
  // A row alone, where its arithmetic is small, is the same to the bit on any machine's number of threads.
  request.rows.resize(1);
  const auto lone = [&](int threads) {
    const Threads some(threads);
    return pipeline.generate(request)->latents;
  };
  EXPECT_TRUE(torch::equal(lone(1), lone(2)));
  CancelToken cancel;
  cancel.cancel();
  const Threads two(2);
  const auto cancelled = pipeline.generate(request, {}, cancel);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
}

// Where prompts act at sites alone, all sites that see B are B's picture, and all but one of A's are B's with that one of A: drawn once.
TEST(DistinctRows, WhatSeesTheSameEverywhereIsDrawnOnce) {
  const auto opened = open_model(golden("pipeline").string());
  ASSERT_TRUE(opened) << opened.error().message();
  Pipeline& pipeline = **opened;
  const auto sites = static_cast<int>(pipeline.info().table.sites.size());
  std::vector<int> all, rest;
  for (int site = 0; site < sites; ++site) {
    all.push_back(site);
    if (site != 1) rest.push_back(site);
  }
  Request request;
  request.prompts = {"a red sign", "a blue ship at night"};
  request.steps = 2;
  const auto row = [&](const Row& one) {
    Request alone = request;
    alone.rows = {one};
    return pipeline.generate(alone)->latents[0];
  };
  const Row b{1, 5, {}}, all_see_b{0, 5, PatchPlan::at_sites(all, 1)}, b_but_one{1, 5, PatchPlan::at_sites({1}, 0)},
      rest_sees_b{0, 5, PatchPlan::at_sites(rest, 1)}, later{0, 5, PatchPlan::at_sites(all, 1, 1)}, other_noise{1, 6, {}};
  request.rows = {b, all_see_b, b_but_one, rest_sees_b, later, other_noise};
  const auto drawn = pipeline.generate(request);
  ASSERT_TRUE(drawn) << drawn.error().message();
  ASSERT_EQ(drawn->images.size(0), 6);
  EXPECT_TRUE(torch::equal(drawn->images[0], drawn->images[1]));
  EXPECT_TRUE(torch::equal(drawn->images[2], drawn->images[3]));
  // Each is what it is when it is drawn alone; and four rows were drawn, by two halves and two steps.
  for (size_t i = 0; i < request.rows.size(); ++i) EXPECT_LT(relative_error(drawn->latents[static_cast<std::int64_t>(i)], row(request.rows[i])), 1e-4) << i;
  EXPECT_EQ(drawn->denoiser_rows, 4 * 2 * 2);
  EXPECT_EQ(pipeline.denoiser_rows(request), drawn->denoiser_rows);
  EXPECT_FALSE(torch::equal(drawn->images[1], drawn->images[4])) << "patched from the second step on";
  // A patch in part goes from the row's own prompt, not from what another patch puts there.
  std::vector<SitePatch> half = all_see_b.plan.patches();
  half.push_back({.site = 1, .prompt = 1, .strength = 0.5});
  request.rows = {{0, 5, PatchPlan(half)}, {1, 5, PatchPlan({{.site = 1, .prompt = 1, .strength = 0.5}})}};
  const auto halves = pipeline.generate(request);
  ASSERT_TRUE(halves) << halves.error().message();
  for (size_t i = 0; i < 2; ++i) EXPECT_LT(relative_error(halves->latents[static_cast<std::int64_t>(i)], row(request.rows[i])), 1e-4) << i;
  EXPECT_GT(relative_error(halves->latents[0], halves->latents[1]), 1e-3);
}

// Where a pooled prompt acts beside the sites, or rows must go along, none is left out.
TEST(DistinctRows, NotWherePromptsActOtherwise) {
  for (const char* model : {"pipeline_sdxl", "pipeline_if", "pipeline_sd3"}) {
    const auto opened = open_model(golden(model).string());
    ASSERT_TRUE(opened) << opened.error().message();
    std::vector<int> all;
    for (const auto& site : (*opened)->info().table.sites) all.push_back(site.index);
    Request request;
    request.prompts = {"a red sign", "a blue ship at night"};
    request.steps = 1;
    request.guidance = 1;
    request.rows = {{1, 5, {}}, {0, 5, PatchPlan::at_sites(all, 1)}};
    const auto drawn = (*opened)->generate(request);
    ASSERT_TRUE(drawn) << drawn.error().message();
    EXPECT_GE(drawn->denoiser_rows, 2) << model;
    EXPECT_FALSE(torch::equal(drawn->images[0], drawn->images[1])) << model;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SideBySide,
                         ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_flux", "pipeline_z_image"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace glyphscope
