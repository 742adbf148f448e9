#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// Euler's method on the probability-flow equation (arXiv 2206.00364, algorithm 2 without churn).
/// Source: diffusers `EulerDiscreteScheduler`.
struct Euler : Scheduler {
  explicit Euler(const Config& config)
      : schedule(NoiseSchedule::parse(config)), spacing(config.text("timestep_spacing", "linspace")), offset(config.integer("steps_offset", 0)) {
    config.require("use_karras_sigmas", false);
    config.require("use_exponential_sigmas", false);
    config.require("use_beta_sigmas", false);
    config.require("interpolation_type", "linear");
    config.require("timestep_type", "discrete");
    config.require("final_sigmas_type", "zero");
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  NoiseSchedule schedule;
  std::string spacing;
  std::int64_t offset;
};

struct EulerRun : SchedulerRun {
  EulerRun(const Euler& euler, std::int64_t steps) : prediction(euler.schedule.prediction), leading(euler.spacing == "leading") {
    const std::int64_t length = euler.schedule.steps();
    if (euler.spacing == "linspace") {  // not rounded here, unlike in the other schedulers
      for (std::int64_t i = 0; i < steps; ++i)
        timesteps_.push_back(
            static_cast<double>(static_cast<float>(steps == 1 ? 0.0 : static_cast<double>((length - 1) * (steps - 1 - i)) / static_cast<double>(steps - 1))));
    } else {
      timesteps_ = spaced_timesteps(euler.spacing, steps, length, euler.offset);
    }
    const torch::Tensor table = euler.schedule.sigmas();
    for (double t : timesteps_) sigmas.push_back(interpolate(table, t));
    sigmas.push_back(0);
  }

  double initial_scale() const override {
    const double top = *std::max_element(sigmas.begin(), sigmas.end());
    return leading ? std::sqrt(top * top + 1) : top;
  }

  torch::Tensor scale_input(const torch::Tensor& x, size_t call) const override { return x / std::sqrt(sigmas[call] * sigmas[call] + 1); }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const double sigma = sigmas.at(call), variance = sigma * sigma + 1;
    torch::Tensor clean;
    if (prediction == Prediction::v) {
      clean = output * (-sigma / std::sqrt(variance)) + x / variance;
    } else {
      clean = prediction == Prediction::sample ? output : x - sigma * output;
    }
    return x + (x - clean) / sigma * (sigmas[call + 1] - sigma);
  }

  Prediction prediction;
  bool leading;
  std::vector<double> sigmas;
};

std::unique_ptr<SchedulerRun> Euler::begin(std::int64_t steps, std::int64_t) const {
  check_steps(steps, schedule.steps());
  return std::make_unique<EulerRun>(*this, steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_euler(const Config& config) { return std::make_unique<Euler>(config); }

}  // namespace glyphscope
