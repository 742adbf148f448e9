#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

/// Denoising diffusion probabilistic models (arXiv 2006.11239), with fixed or learned variance and, for pixels, dynamic
/// thresholding (arXiv 2205.11487). Source: diffusers `DDPMScheduler`.
struct Ddpm : Scheduler {
  enum class Variance { small, small_log, large, large_log, learned_range };

  explicit Ddpm(const Config& config)
      : schedule(NoiseSchedule::parse(config)),
        spacing(config.text("timestep_spacing", "leading")),
        offset(config.integer("steps_offset", 0)),
        clip(config.boolean("clip_sample", true) ? config.number("clip_sample_range", 1.0) : 0),
        thresholding(Thresholding::parse(config)) {
    const std::string name = config.text("variance_type", "fixed_small");
    const std::pair<const char*, Variance> known[] = {{"fixed_small", Variance::small},
                                                      {"fixed_small_log", Variance::small_log},
                                                      {"fixed_large", Variance::large},
                                                      {"fixed_large_log", Variance::large_log},
                                                      {"learned_range", Variance::learned_range}};
    const auto* found = std::find_if(std::begin(known), std::end(known), [&](const auto& one) { return name == one.first; });
    if (found == std::end(known)) reject("unknown variance_type '" + name + "'", config.where());
    variance = found->second;
  }
  std::unique_ptr<SchedulerRun> begin(std::int64_t steps, std::int64_t tokens) const override;

  NoiseSchedule schedule;
  std::string spacing;
  std::int64_t offset;
  double clip;
  Thresholding thresholding;
  Variance variance = Variance::small;
};

struct DdpmRun : SchedulerRun {
  DdpmRun(const Ddpm& ddpm, std::int64_t steps) : ddpm(ddpm) { timesteps_ = spaced_timesteps(ddpm.spacing, steps, ddpm.schedule.steps(), ddpm.offset); }
  bool learns_variance() const override { return ddpm.variance == Ddpm::Variance::learned_range; }

  torch::Tensor step(const torch::Tensor& output, size_t call, const torch::Tensor& x) override {
    const auto t = static_cast<std::int64_t>(timesteps_.at(call)),
               previous = call + 1 < timesteps_.size() ? static_cast<std::int64_t>(timesteps_[call + 1]) : -1;
    const double a = ddpm.schedule.alphas_cumprod[t].item<double>(), a_next = previous >= 0 ? ddpm.schedule.alphas_cumprod[previous].item<double>() : 1.0;
    const double alpha = a / a_next, beta = 1 - alpha;
    const torch::Tensor prediction = output.slice(1, 0, x.size(1));
    torch::Tensor clean;
    switch (ddpm.schedule.prediction) {
      case Prediction::v:
        clean = std::sqrt(a) * x - std::sqrt(1 - a) * prediction;
        break;
      case Prediction::sample:
        clean = prediction;
        break;
      default:
        clean = (x - std::sqrt(1 - a) * prediction) / std::sqrt(a);
    }
    if (ddpm.thresholding.on) {
      clean = ddpm.thresholding.apply(clean);
    } else if (ddpm.clip > 0) {
      clean = clean.clamp(-ddpm.clip, ddpm.clip);
    }
    // Equation 7 of the paper.
    torch::Tensor mean = std::sqrt(a_next) * beta / (1 - a) * clean + std::sqrt(alpha) * (1 - a_next) / (1 - a) * x;
    if (t == 0) return mean;
    const double small = std::max((1 - a_next) / (1 - a) * beta, 1e-20);
    const torch::Tensor noise = draw_noise();
    switch (ddpm.variance) {
      case Ddpm::Variance::large:
      case Ddpm::Variance::large_log:
        return mean + std::sqrt(beta) * noise;
      case Ddpm::Variance::learned_range: {
        const torch::Tensor share = (output.slice(1, x.size(1)) + 1) / 2;
        return mean + (0.5 * (share * std::log(beta) + (1 - share) * std::log(small))).exp() * noise;
      }
      default:
        return mean + std::sqrt(small) * noise;
    }
  }

  Ddpm ddpm;
};

std::unique_ptr<SchedulerRun> Ddpm::begin(std::int64_t steps, std::int64_t) const {
  check_steps(steps, schedule.steps());
  return std::make_unique<DdpmRun>(*this, steps);
}

}  // namespace

std::unique_ptr<Scheduler> make_ddpm(const Config& config) { return std::make_unique<Ddpm>(config); }

}  // namespace glyphscope
