// Every scheduler over whole runs against diffusers, with a deterministic stand-in for the denoiser.
#include "schedulers/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"
#include "io/files.h"
#include "pipelines/denoise.h"
#include "tests/support/golden.h"

namespace glyphscope {
namespace {
using testing::golden;
using testing::relative_error;

TEST(SchedulerParity, WholeRunsEqualTheReference) {
  const SafetensorsFile expected(golden("schedulers.safetensors"));
  const auto cases = read_json(golden("schedulers.json"));
  const torch::Tensor noise = expected.tensor("noise");
  int count = 0;
  for (const auto& one : cases.is_array() ? cases : cases.at("cases")) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    auto config = one.at("config");
    config["_class_name"] = one.at("class");
    const auto run = make_scheduler(Config(config, name))->begin(one.at("steps").get<std::int64_t>());
    const auto timesteps = one.at("timesteps").get<std::vector<double>>();
    ASSERT_EQ(run->timesteps().size(), timesteps.size());
    for (size_t i = 0; i < timesteps.size(); ++i) EXPECT_NEAR(run->timesteps()[i], timesteps[i], 1e-3);
    auto generator = make_generator(801);
    run->set_noise([&] { return torch::randn(noise.sizes(), generator); });
    torch::Tensor x = noise * run->initial_scale();
    const auto middle = one.at("middle_index").get<size_t>();
    for (size_t call = 0; call < timesteps.size(); ++call) {
      const torch::Tensor scaled = run->scale_input(x, call);
      torch::Tensor output = 0.3 * (3 * scaled + 0.01 * run->timesteps()[call]).sin() + 0.1 * scaled;
      if (run->learns_variance()) output = torch::cat({output, x.sin()}, 1);
      x = run->step(output, call, x);
      if (call == 0) EXPECT_LT(relative_error(x, expected.tensor(name + ".first")), 1e-4);
      if (call == middle) EXPECT_LT(relative_error(x, expected.tensor(name + ".middle")), 1e-4);
    }
    EXPECT_LT(relative_error(x, expected.tensor(name + ".final")), 1e-4);
    ++count;
  }
  EXPECT_GE(count, 46);
}

TEST(Scheduler, RefusesWhatDoesNotGo) {
  const Config ddim({{"_class_name", "DDIMScheduler"}}, "s.json");
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "LMSDiscreteScheduler"}}, "s.json"));
              }),
              ::testing::HasSubstr("unknown scheduler 'LMSDiscreteScheduler' (s.json)"));
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(ddim, "flow"); }), ::testing::HasSubstr("does not fit a model trained with DDIMScheduler"));
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(ddim)->begin(0); }), ::testing::HasSubstr("expected 1 to 1000"));
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(ddim)->begin(1001); }), ::testing::HasSubstr("expected 1 to 1000"));
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "DDPMScheduler"}, {"variance_type", "learned"}}, "s.json"));
              }),
              ::testing::HasSubstr("unknown variance_type 'learned'"));
}

TEST(Scheduler, TimestepsOutsideTheScheduleAreNamed) {
  const Config leading({{"_class_name", "DDIMScheduler"}, {"steps_offset", 1}, {"timestep_spacing", "leading"}}, "s.json");
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(leading)->begin(1000); }), ::testing::HasSubstr("leave the schedule"));
}

TEST(Scheduler, AVarianceThatTheDenoiserDoesNotSayIsNamed) {
  const auto run = make_scheduler(Config({{"_class_name", "DDPMScheduler"}, {"variance_type", "learned_range"}}, "s.json"))->begin(2);
  const auto same = [](const torch::Tensor& x, double) { return x; };
  EXPECT_THAT(testing::failure_of([&] { denoise(*run, torch::ones({1, 3, 2, 2}), same, {}); }), ::testing::HasSubstr("6 channels, not 3"));
}

TEST(Scheduler, OneStepWorksEverywhere) {
  for (const auto& name : scheduler_names()) {
    const Config config({{"_class_name", name == "flow" ? "FlowMatchEulerDiscreteScheduler" : "DDIMScheduler"}, {"steps_offset", 1}}, "test");
    const auto run = make_scheduler(config, name)->begin(1);
    run->set_noise([] { return torch::ones({1, 1, 2, 2}); });
    torch::Tensor x = torch::ones({1, 1, 2, 2});
    for (size_t call = 0; call < run->timesteps().size(); ++call) x = run->step(torch::zeros_like(x), call, x);
    EXPECT_TRUE(x.isfinite().all().item<bool>()) << name;
  }
}

}  // namespace
}  // namespace glyphscope
