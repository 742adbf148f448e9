#include "adapt/noise_path.h"

#include <torch/types.h>

#include "core/error.h"
#include "schedulers/scheduler.h"

namespace glyphscope {
namespace {

torch::Tensor at_rows(const torch::Tensor& table, const torch::Tensor& index, const torch::Tensor& like) {
  return table.index_select(0, index).view({-1, 1, 1, 1}).to(like.options());
}

}  // namespace

NoisePath NoisePath::parse(const Config& scheduler, bool shifted) {
  NoisePath out;
  const DenoiserKind kind = denoiser_kind(scheduler);
  if (kind == DenoiserKind::edm) reject("models of EDM are not trained here", scheduler.where(), "Models that predict noise, v or a flow are");
  if (kind == DenoiserKind::flow) {
    const std::int64_t steps = scheduler.size("num_train_timesteps", 1000, 1, 100'000);
    out.sigma = torch::arange(1, steps + 1).to(torch::kFloat32) / static_cast<double>(steps);
    // A shift that depends on the picture's size is left to sampling, as in diffusers' examples.
    const double shift = shifted && !scheduler.boolean("use_dynamic_shifting", false) ? scheduler.number("shift", scheduler.number("flow_shift", 1.0)) : 1.0;
    out.sigma = shift * out.sigma / (1 + (shift - 1) * out.sigma);
    out.alpha = 1 - out.sigma;
    out.timestep = out.sigma * static_cast<double>(steps);
    out.prediction = Prediction::flow;
    return out;
  }
  const NoiseSchedule schedule = NoiseSchedule::parse(scheduler);
  out.timestep = torch::arange(schedule.steps()).to(torch::kFloat32);
  out.alpha = schedule.alphas_cumprod.sqrt();
  out.sigma = (1 - schedule.alphas_cumprod).sqrt();
  out.prediction = schedule.prediction;
  return out;
}

torch::Tensor NoisePath::mix(const torch::Tensor& clean, const torch::Tensor& noise, const torch::Tensor& index) const {
  return at_rows(alpha, index, clean) * clean + at_rows(sigma, index, clean) * noise;
}

torch::Tensor NoisePath::target(const torch::Tensor& clean, const torch::Tensor& noise, const torch::Tensor& index) const {
  switch (prediction) {
    case Prediction::flow:
      return noise - clean;
    case Prediction::v:
      return at_rows(alpha, index, clean) * noise - at_rows(sigma, index, clean) * clean;
    case Prediction::sample:
      return clean;
    default:
      return noise;
  }
}

torch::Tensor NoisePath::snr_weight(const torch::Tensor& index, double gamma) const {
  const torch::Tensor snr = (alpha / sigma).pow(2).index_select(0, index);
  switch (prediction) {
    case Prediction::epsilon:
      return (gamma / snr).clamp_max(1);  // 1 where there is no signal
    case Prediction::v:
      return snr.clamp_max(gamma) / (snr + 1);
    default:
      return torch::ones_like(snr);
  }
}

// How dense the sigmoids of normal numbers lie there, but for a factor.
static torch::Tensor logit_normal(const torch::Tensor& share) {
  const torch::Tensor logit = (share / (1 - share)).log();
  return (-0.5 * logit.pow(2)).exp() / (share * (1 - share));
}

torch::Tensor logit_normal_draws(std::int64_t steps) {
  const torch::Tensor density = logit_normal((torch::arange(steps).to(torch::kFloat64) + 0.5) / static_cast<double>(steps));
  return (density / density.sum()).to(torch::kFloat32);
}

torch::Tensor logit_normal_density(const NoisePath& path) {
  const torch::Tensor share = (path.sigma / (path.alpha + path.sigma)).clamp_max(1 - 1e-6), density = logit_normal(share);
  const torch::Tensor width = torch::cat({share.slice(0, 0, 1), share.slice(0, 1) - share.slice(0, 0, -1)});
  return density * width / (density * width).sum();
}

}  // namespace glyphscope
