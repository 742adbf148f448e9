#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// What schedulers of models distilled to few steps share: each step says where the path ends, and goes back part of the way with noise.
struct Consistency {
  explicit Consistency(const Config& config)
      : schedule(NoiseSchedule::parse(config, {0.00085, 0.012, "scaled_linear"})),
        distilled_steps(config.size("original_inference_steps", 50, 1, 100'000)),
        scaling(config.number("timestep_scaling", 10)),
        clip(config.boolean("clip_sample", false) ? config.number("clip_sample_range", 1.0) : 0),
        thresholding(Thresholding::parse(config)) {
    if (distilled_steps > schedule.steps()) reject("original_inference_steps is over num_train_timesteps", config.where());
  }

  // Some of those that the model was distilled on, from the last.
  std::vector<double> timesteps(std::int64_t steps) const {
    check_steps(steps, distilled_steps);
    const std::int64_t stride = schedule.steps() / distilled_steps;
    std::vector<double> out;
    for (std::int64_t i = 0; i < steps; ++i) {
      const auto back = static_cast<std::int64_t>(std::floor(static_cast<double>(i) * (static_cast<double>(distilled_steps) / static_cast<double>(steps))));
      out.push_back(static_cast<double>((distilled_steps - back) * stride - 1));
    }
    return out;
  }

  NoiseSchedule schedule;
  std::int64_t distilled_steps;
  double scaling, clip;
  Thresholding thresholding;
};

struct ConsistencyRun : SchedulerRun {
  ConsistencyRun(const Consistency& scheduler, std::int64_t steps) : scheduler(scheduler) { timesteps_ = scheduler.timesteps(steps); }

  double alpha(double timestep) const { return scheduler.schedule.alphas_cumprod[static_cast<std::int64_t>(timestep)].item<double>(); }
  bool is_last(size_t call) const { return call + 1 == timesteps_.size(); }

  struct Estimate {
    torch::Tensor clean, noise;
  };
  Estimate estimate(const torch::Tensor& output, double a, const torch::Tensor& x) const {
    switch (scheduler.schedule.prediction) {
      case Prediction::v:
        return {std::sqrt(a) * x - std::sqrt(1 - a) * output, std::sqrt(a) * output + std::sqrt(1 - a) * x};
      case Prediction::sample:
        return {output, (x - std::sqrt(a) * output) / std::sqrt(1 - a)};
      default:
        return {(x - std::sqrt(1 - a) * output) / std::sqrt(a), output};
    }
  }

  Consistency scheduler;
};

/// Latent consistency models (arXiv 2310.04378). Source: diffusers `LCMScheduler`.
struct LcmRun : ConsistencyRun {
  using ConsistencyRun::ConsistencyRun;
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    torch::Tensor clean = estimate(output, alpha(timesteps_.at(call)), x).clean;
    if (scheduler.thresholding.on) {
      clean = scheduler.thresholding.apply(clean);
    } else if (scheduler.clip > 0) {
      clean = clean.clamp(-scheduler.clip, scheduler.clip);
    }
    constexpr double kData = 0.5;
    const double scaled = timesteps_[call] * scheduler.scaling, both = scaled * scaled + kData * kData;
    clean = scaled / std::sqrt(both) * clean + kData * kData / both * x;
    if (is_last(call)) return clean;
    const double next = alpha(timesteps_[call + 1]);
    return std::sqrt(next) * clean + std::sqrt(1 - next) * draw_noise();
  }
};

/// Trajectory consistency distillation (arXiv 2402.19159), with diffusers' share of noise. Source: diffusers `TCDScheduler`.
struct TcdRun : ConsistencyRun {
  using ConsistencyRun::ConsistencyRun;
  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    constexpr float kGamma = 0.3F;
    const double next = is_last(call) ? 0 : timesteps_[call + 1];
    const auto [clean, noise] = estimate(output, alpha(timesteps_.at(call)), x);
    const double far = alpha(std::floor((1 - kGamma) * static_cast<float>(next)));
    torch::Tensor further = std::sqrt(far) * clean + std::sqrt(1 - far) * noise;
    if (is_last(call)) return further;
    const double share = alpha(next) / far;
    return std::sqrt(share) * further + std::sqrt(1 - share) * draw_noise();
  }
};

template <class Run>
struct ConsistencyScheduler : Scheduler {
  explicit ConsistencyScheduler(const Config& config) : consistency(config) {}
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t) const override { return std::make_unique<Run>(consistency, steps); }
  Consistency consistency;
};

}  // namespace

std::unique_ptr<Scheduler> make_lcm(const Config& config) { return std::make_unique<ConsistencyScheduler<LcmRun>>(config); }
std::unique_ptr<Scheduler> make_tcd(const Config& config) { return std::make_unique<ConsistencyScheduler<TcdRun>>(config); }

}  // namespace glyphscope
