// What only a run on the stand-in device shows: what goes between host and device, and what happens where the device has no memory left or is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/devices.h"
#include "registry/model_needs.h"
#include "registry/open_model.h"
#include "tests/support/golden.h"
#include "tests/support/stand_in_device.h"

namespace glyphscope {
namespace {
using testing::golden;
using ::testing::HasSubstr;
namespace stand_in = testing::stand_in;

struct OnStandIn : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    if (testing::test_device().is_cpu()) GTEST_SKIP() << "a run with GLYPHSCOPE_TEST_DEVICE=standin";
  }
  void TearDown() override {
    stand_in::set_memory(std::uint64_t{64} << 30);
    stand_in::lose_after(-1);
  }
};
struct StandIn : OnStandIn {};

// As many rows as wanted, each patched at these sites from its second step on, so that what patches ask for changes on the way.
Request request_of(int rows, const std::vector<int>& sites, std::int64_t steps, const ModelInfo& model) {
  Request request;
  request.prompts = {"a sign that says \"one\"", "a sign that says \"two\""};
  for (int i = 0; i < rows; ++i) request.rows.push_back({0, static_cast<std::uint64_t>(i), PatchPlan::at_sites(sites, 1, 1)});
  request.steps = steps;
  request.width = request.height = 4 * model.size_multiple;
  return request;
}

TEST_P(OnStandIn, PicturesAreTheCpus) {
  const std::string source = golden(GetParam()).string();
  const auto there = *open_model(source, {.device = "standin"}), here = *open_model(source, {.device = "cpu"});
  EXPECT_EQ(there->info().device, "standin");
  EXPECT_EQ(there->info().device_label, "standin:0");
  EXPECT_EQ(here->info().device, "cpu");
  EXPECT_EQ(there->info().hash, here->info().hash);
  const Request request = request_of(2, {0, 1}, 3, here->info());
  const auto a = there->generate(request), b = here->generate(request);
  ASSERT_TRUE(a) << a.error().message();
  ASSERT_TRUE(b) << b.error().message();
  EXPECT_TRUE(a->images.device().is_cpu() && a->latents.device().is_cpu()) << "results are the host's";
  // DeepFloyd IF learns a variance, whose exponential enlarges the last digits.
  EXPECT_LT(testing::relative_error(a->latents, b->latents), there->info().family.starts_with("DeepFloyd") ? 5e-4 : 1e-4);
  EXPECT_LE((a->images.to(torch::kInt32) - b->images.to(torch::kInt32)).abs().max().item<int>(), 1);
}

// Copies and waits are the run's, not each row's or each site's; and none belongs to a denoiser call.
TEST_P(OnStandIn, CopiesGrowNeitherWithRowsNorWithSitesNorWithSteps) {
  const auto pipeline = *open_model(golden(GetParam()).string());
  const auto traffic = [&](int rows, const std::vector<int>& sites, std::int64_t steps) {
    const Request request = request_of(rows, sites, steps, pipeline->info());
    const auto warm = pipeline->generate(request);  // prompts are remembered
    EXPECT_TRUE(warm) << warm.error().message();
    stand_in::reset_traffic();
    const auto result = pipeline->generate(request);
    EXPECT_TRUE(result) << result.error().message();
    return stand_in::traffic();
  };
  const auto least = traffic(1, {0}, 3), rows = traffic(4, {0}, 3), sites = traffic(1, {0, 1, 2}, 3), steps = traffic(1, {0}, 6);
  for (const auto& [name, more] : {std::pair("rows", rows), std::pair("sites", sites)}) {
    EXPECT_EQ(more.to_device, least.to_device) << name;
    EXPECT_EQ(more.to_host, least.to_host) << name;
    EXPECT_EQ(more.waits, least.waits) << name;
  }
  // A scheduler that draws noise at each step draws it on the host.
  const bool draws = pipeline->info().scheduler == "DDPMScheduler";
  EXPECT_EQ(steps.to_device - least.to_device, draws ? 3 : 0);
  EXPECT_EQ(steps.waits, least.waits) << "the host waits at the end of a run, not at its steps";
  EXPECT_LE(least.waits, 4);
}

INSTANTIATE_TEST_SUITE_P(Families, OnStandIn,
                         ::testing::Values("pipeline", "pipeline_sdxl", "pipeline_sd3", "pipeline_if", "pipeline_flux", "pipeline_ldm/kl", "pipeline_ldm/vq"));

TEST_F(StandIn, AutoTakesTheDeviceThatHoldsTheModelElseTheCpu) {
  const std::string source = golden("pipeline").string();
  const auto there = *open_model(source);
  EXPECT_EQ(there->info().device, "standin");
  EXPECT_THAT(there->info().why_device, HasSubstr("free, the model takes at least"));
  stand_in::set_memory(stand_in::memory_used() + (std::uint64_t{1} << 20));
  const auto here = *open_model(source);
  EXPECT_EQ(here->info().device, "cpu");
  EXPECT_THAT(here->info().why_device, HasSubstr("standin:0 has 1 MiB free"));
  const auto refused = open_model(source, {.device = "standin"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(refused.error().message(), HasSubstr("the model needs at least"));
}

// Where rows do not fit together, fewer are drawn at once, to the same pictures; where one does not fit, the numbers are said.
TEST_F(StandIn, WhatDoesNotFitIsDrawnInParts) {
  const auto pipeline = *open_model(golden("pipeline").string());
  const Request request = request_of(8, {0}, 2, pipeline->info());
  const auto peak_of = [&](int rows) {
    Request some = request;
    some.rows.resize(static_cast<size_t>(rows));
    forget_peak_memory(testing::test_device());
    EXPECT_TRUE(pipeline->generate(some));
    return peak_memory(testing::test_device());
  };
  const std::uint64_t two = peak_of(2), four = peak_of(4), eight = peak_of(8);
  ASSERT_LT(two, four);
  ASSERT_LT(four, eight);
  const auto whole = pipeline->generate(request);
  std::vector<Progress> told;
  stand_in::set_memory((four + eight) / 2);
  const auto parts = pipeline->generate(request, {.progress = [&](const Progress& p) { told.push_back(p); }});
  ASSERT_TRUE(parts) << parts.error().message();
  EXPECT_LT(testing::relative_error(parts->latents, whole->latents), 1e-4);
  EXPECT_EQ(parts->denoiser_calls, 2 * whole->denoiser_calls);
  EXPECT_THAT(parts->notes, ::testing::Contains(HasSubstr("holds 4 of these rows at once")));
  EXPECT_EQ(told.back().done, told.back().total);
  stand_in::set_memory(stand_in::memory_used() + 100'000);
  const auto none = pipeline->generate(request);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(none.error().message(), HasSubstr("does not fit into the memory of standin:0"));
}

// Where memory is short T5 is there only while prompts are read; the pictures are the same.
TEST_F(StandIn, T5GoesWhereMemoryIsShort) {
  const auto drawn = [](std::uint64_t memory) {
    const std::uint64_t before = stand_in::memory_used();
    stand_in::set_memory(before + memory);
    const auto pipeline = *open_model(golden("pipeline_sd3").string(), {.device = "standin"});
    const auto result = pipeline->generate(request_of(1, {0}, 2, pipeline->info()));
    EXPECT_TRUE(result) << result.error().message();
    return std::pair(stand_in::memory_used() - before, result->latents);
  };
  const auto roomy = drawn(std::uint64_t{8} << 30), tight = drawn(std::uint64_t{1} << 30);
  EXPECT_LT(tight.first, roomy.first);
  EXPECT_TRUE(torch::equal(tight.second, roomy.second));
}

TEST_F(StandIn, ALostDeviceIsSaid) {
  const auto pipeline = *open_model(golden("pipeline").string());
  stand_in::lose_after(200);
  const auto lost = pipeline->generate(request_of(1, {0}, 3, pipeline->info()));
  ASSERT_FALSE(lost);
  EXPECT_THAT(lost.error().message(), HasSubstr("the device failed: stand-in device: the device was lost"));
  stand_in::lose_after(-1);
  EXPECT_TRUE(pipeline->generate(request_of(1, {0}, 3, pipeline->info())));
}

TEST_F(StandIn, DeviceMemoryIsNoPlaceForTheHost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const torch::Tensor there = torch::ones({3}).to(testing::test_device());
  EXPECT_DEATH(
      {
        volatile float read = *there.data_ptr<float>();
        (void)read;
      },
      "the host touched device memory");
  EXPECT_THROW((void)(there + torch::ones({3})), c10::Error);
  EXPECT_EQ((there + 1).sum().item<float>(), 6);
}

TEST_F(StandIn, PeakMemoryIsKnown) {
  forget_peak_memory(testing::test_device());
  const std::uint64_t before = peak_memory(testing::test_device());
  { const torch::Tensor large = torch::empty({1 << 20}, torch::TensorOptions(testing::test_device())); }
  EXPECT_GE(peak_memory(testing::test_device()), before + (4u << 20));
}

}  // namespace
}  // namespace glyphscope
