// Every scheduler over whole runs against diffusers, with a deterministic stand-in for the denoiser.
#include "schedulers/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

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

// Random configurations of every class, made by tests/golden/make_schedulers.py; GLYPHSCOPE_SCHEDULER_RUNS names a folder with more of them.
TEST(SchedulerParity, RandomRunsEqualTheReference) {
  const char* folder = std::getenv("GLYPHSCOPE_SCHEDULER_RUNS");
  const auto file = [&](const std::string& name) { return folder ? std::filesystem::path(folder) / name : golden(name); };
  const SafetensorsFile expected(file("scheduler_runs.safetensors"));
  const auto cases = read_json(file("scheduler_runs.json"));
  const torch::Tensor noise = expected.tensor("noise"), results = expected.tensor("results");
  std::map<std::string, int> counts;
  std::int64_t at = 0, cut_off = 0;
  for (const auto& one : cases) {
    auto config = one.at("config");
    config["_class_name"] = one.at("class");
    SCOPED_TRACE(config.dump() + " " + one.at("steps").dump() + " steps");
    const auto run = make_scheduler(Config(config, "case"))->begin(one.at("steps").get<std::int64_t>(), one.at("tokens").get<std::int64_t>());
    const auto timesteps = one.at("timesteps").get<std::vector<double>>();
    const torch::Tensor result = results[at++].view(noise.sizes());
    ASSERT_EQ(run->timesteps().size(), timesteps.size());
    // The reference's fractions are single precision; where it cuts them off, one that is nearly whole may be the next.
    double apart = 0;
    for (size_t i = 0; i < timesteps.size(); ++i) apart = std::max(apart, std::abs(run->timesteps()[i] - timesteps[i]));
    EXPECT_LE(apart, 1);
    if (apart > 0.05) {
      ++cut_off;
      continue;
    }
    auto generator = make_generator(801);
    run->set_noise([&] { return torch::randn(noise.sizes(), generator).to(torch::kFloat64); });
    torch::Tensor x = noise.to(torch::kFloat64) * run->initial_scale();
    std::int64_t step = 0;
    for (size_t call = 0; call < timesteps.size(); ++call) {
      const torch::Tensor scaled = run->scale_input(x, call);
      x = run->step(0.3 * (3 * scaled + 0.01 * run->timesteps()[call]).sin() + 0.1 * scaled, call, x);
      EXPECT_TRUE(run->step_of(call) == step || run->step_of(call) == step + 1);
      step = run->step_of(call);
    }
    EXPECT_LT(relative_error(x.to(torch::kFloat32), result), 1e-4);
    ++counts[one.at("class").get<std::string>()];
  }
  EXPECT_EQ(counts.size(), 22U);
  EXPECT_LE(cut_off * 50, at);
}

// An odd number of classes would go untested if a new one were not among the cases.
TEST(SchedulerParity, EveryClassHasRandomRuns) {
  std::set<std::string> classes;
  for (const auto& one : read_json(golden("scheduler_runs.json"))) classes.insert(one.at("class").get<std::string>());
  EXPECT_EQ(classes.size() + 1, scheduler_names().size());  // dpm++-sde is of dpm++'s class
}

TEST(Scheduler, RefusesWhatDoesNotGo) {
  const Config ddim({{"_class_name", "DDIMScheduler"}}, "s.json");
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "ScoreSdeVeScheduler"}}, "s.json"));
              }),
              ::testing::HasSubstr("unknown scheduler 'ScoreSdeVeScheduler' (s.json)"));
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(ddim, "flow"); }), ::testing::HasSubstr("does not fit a model trained with DDIMScheduler"));
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(ddim)->begin(0); }), ::testing::HasSubstr("expected 1 to 1000"));
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(ddim)->begin(1001); }), ::testing::HasSubstr("expected 1 to 1000"));
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "DDPMScheduler"}, {"variance_type", "learned"}}, "s.json"));
              }),
              ::testing::HasSubstr("unknown variance_type 'learned'"));
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "DDIMScheduler"}, {"trained_betas", {0.1, 0.2}}}, "s.json"));
              }),
              ::testing::HasSubstr("'trained_betas' has 2 numbers, and num_train_timesteps is 1000"));
  // There the noise would be divided by none.
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "UniPCMultistepScheduler"}, {"predict_x0", false}}, "s.json"));
              }),
              ::testing::HasSubstr("final_sigmas_type 'zero' does not go with predict_x0 false"));
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "UniPCMultistepScheduler"}, {"lower_order_final", false}}, "s.json"));
              }),
              ::testing::HasSubstr("lower_order_final false does not go with a run that ends without noise"));
  EXPECT_THAT(testing::failure_of([&] {
                make_scheduler(Config({{"_class_name", "FlowMatchLCMScheduler"}, {"scale_factors", {0.5}}}, "s.json"));
              }),
              ::testing::HasSubstr("'scale_factors'"));
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

TEST(Scheduler, OneStepWorksEverywhereAndEveryNameOfAKindBuilds) {
  const std::pair<DenoiserKind, const char*> kinds[] = {
      {DenoiserKind::noise, "DDIMScheduler"}, {DenoiserKind::flow, "FlowMatchEulerDiscreteScheduler"}, {DenoiserKind::edm, "EDMEulerScheduler"}};
  size_t built = 0;
  for (const auto& [kind, class_name] : kinds)
    for (const auto& name : scheduler_names(kind)) {
      const auto run = make_scheduler(Config({{"_class_name", class_name}, {"steps_offset", 1}}, "test"), name)->begin(1);
      run->set_noise([] { return torch::ones({1, 1, 2, 2}); });
      torch::Tensor x = torch::ones({1, 1, 2, 2});
      for (size_t call = 0; call < run->timesteps().size(); ++call) x = run->step(torch::zeros_like(x), call, x);
      EXPECT_TRUE(x.isfinite().all().item<bool>()) << name;
      ++built;
    }
  EXPECT_GE(built, scheduler_names().size());
}

TEST(Scheduler, ANameMayEndInASpacingOfNoiseLevels) {
  const Config plain({{"_class_name", "DDIMScheduler"}}, "s.json");
  auto karras = plain.json();
  karras["_class_name"] = "EulerDiscreteScheduler";
  karras["use_karras_sigmas"] = true;
  EXPECT_EQ(make_scheduler(plain, "euler-karras")->begin(7)->timesteps(), make_scheduler(Config(karras, "s.json"))->begin(7)->timesteps());
  EXPECT_NE(make_scheduler(plain, "euler-karras")->begin(7)->timesteps(), make_scheduler(plain, "euler")->begin(7)->timesteps());
  // One that the configuration has is kept, unless the name says another.
  EXPECT_EQ(make_scheduler(Config(karras, "s.json"), "heun")->begin(7)->timesteps(), make_scheduler(plain, "heun-karras")->begin(7)->timesteps());
  EXPECT_EQ(make_scheduler(Config(karras, "s.json"), "heun-beta")->begin(7)->timesteps(), make_scheduler(plain, "heun-beta")->begin(7)->timesteps());
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(plain, "ddim-karras"); }), ::testing::HasSubstr("'ddim' has no spacing 'karras'"));
}

TEST(Scheduler, AModelOfAFlowTakesSolversThatShiftAsItsOwnDoes) {
  const Config own({{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"shift", 3.0}}, "s.json");
  const Config solver({{"_class_name", "DPMSolverMultistepScheduler"}, {"use_flow_sigmas", true}, {"prediction_type", "flow_prediction"}, {"flow_shift", 3.0}},
                      "s.json");
  EXPECT_EQ(make_scheduler(own, "dpm++")->begin(9)->timesteps(), make_scheduler(solver)->begin(9)->timesteps());
  EXPECT_EQ(make_scheduler(solver, "flow")->begin(9)->timesteps(), make_scheduler(own)->begin(9)->timesteps());
  EXPECT_EQ(denoiser_kind(solver), DenoiserKind::flow);
  EXPECT_THAT(testing::failure_of([&] { make_scheduler(own, "euler"); }),
              ::testing::HasSubstr("It takes deis, dpm++, dpm++-sde, dpm++-single, flow, flow-heun, flow-lcm, sa, unipc"));
}

}  // namespace
}  // namespace glyphscope
