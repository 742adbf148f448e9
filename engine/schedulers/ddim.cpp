#include <torch/types.h>

#include <cmath>

#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// Denoising diffusion implicit models, eta 0 (arXiv 2010.02502). Source: diffusers `DDIMScheduler`.
struct Ddim : Scheduler {
  explicit Ddim(const Config& config)
      : schedule(NoiseSchedule::parse(config)),
        spacing(config.text("timestep_spacing", "leading")),
        offset(config.integer("steps_offset", 0)),
        final_alpha(config.boolean("set_alpha_to_one", true) ? 1.0 : schedule.alphas_cumprod[0].item<double>()),
        clip(config.boolean("clip_sample", true) ? config.number("clip_sample_range", 1.0) : 0),
        thresholding(Thresholding::parse(config)) {}

  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  NoiseSchedule schedule;
  std::string spacing;
  std::int64_t offset;
  double final_alpha, clip;
  Thresholding thresholding;
};

struct DdimRun : SchedulerRun {
  DdimRun(const Ddim& ddim, std::int64_t steps) : ddim(ddim), stride(ddim.schedule.steps() / steps) {
    timesteps_ = spaced_timesteps(ddim.spacing, steps, ddim.schedule.steps(), ddim.offset);
  }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const auto [a, a_next] = alphas(call);
    torch::Tensor clean, noise;
    switch (ddim.schedule.prediction) {
      case Prediction::v:
        clean = std::sqrt(a) * x - std::sqrt(1 - a) * output;
        noise = std::sqrt(a) * output + std::sqrt(1 - a) * x;
        break;
      case Prediction::sample:
        clean = output;
        noise = (x - std::sqrt(a) * clean) / std::sqrt(1 - a);
        break;
      default:
        clean = (x - std::sqrt(1 - a) * output) / std::sqrt(a);
        noise = output;
    }
    if (ddim.thresholding.on) {
      clean = ddim.thresholding.apply(clean);
    } else if (ddim.clip > 0) {
      clean = clean.clamp(-ddim.clip, ddim.clip);
    }
    return std::sqrt(a_next) * clean + std::sqrt(1 - a_next) * noise;
  }

  bool reversible() const override { return true; }
  torch::Tensor step_back(const torch::Tensor& output, size_t call, const torch::Tensor& next) const override {
    // step() is linear: a weight for x and one for the output.
    const auto [a, a_next] = alphas(call);
    const double signal = std::sqrt(a_next), rest = std::sqrt(1 - a_next);
    switch (ddim.schedule.prediction) {
      case Prediction::v:
        return (next - (rest * std::sqrt(a) - signal * std::sqrt(1 - a)) * output) / (signal * std::sqrt(a) + rest * std::sqrt(1 - a));
      case Prediction::sample:
        // Of a last step to no noise at all nothing is left to go back by.
        if (rest == 0) return next;
        return (next - (signal - rest * std::sqrt(a) / std::sqrt(1 - a)) * output) * (std::sqrt(1 - a) / rest);
      default:
        return (next - (rest - signal * std::sqrt(1 - a) / std::sqrt(a)) * output) * (std::sqrt(a) / signal);
    }
  }

  struct Alphas {
    double now, next;
  };
  Alphas alphas(size_t call) const {
    const auto t = static_cast<std::int64_t>(timesteps_.at(call)), previous = t - stride;
    const torch::Tensor& table = ddim.schedule.alphas_cumprod;
    return {table[t].item<double>(), previous >= 0 ? table[previous].item<double>() : ddim.final_alpha};
  }

  Ddim ddim;
  std::int64_t stride;
};

std::unique_ptr<SchedulerRun> Ddim::begin(std::int64_t steps, std::int64_t) const {
  check_steps(steps, schedule.steps());
  return std::make_unique<DdimRun>(*this, steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_ddim(const Config& config) { return std::make_unique<Ddim>(config); }

}  // namespace glyphscope
