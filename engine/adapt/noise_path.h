#pragma once

#include <torch/types.h>

#include "io/config.h"
#include "schedulers/noise_schedule.h"

namespace glyphscope {

/// How training mixes a clean signal with noise at each of a schedule's timesteps, and what the network learns to say of the mixture.
struct NoisePath {
  torch::Tensor timestep;      ///< As the denoiser reads it, [steps] fp32.
  torch::Tensor alpha, sigma;  ///< Shares of signal and noise, [steps] fp32.
  Prediction prediction = Prediction::epsilon;

  /// Of a scheduler_config.json. Flow matching: shifted as its scheduler's own timesteps are, if `shifted`. Source: diffusers' training examples.
  static NoisePath parse(const Config& scheduler, bool shifted = true);

  std::int64_t steps() const { return timestep.size(0); }
  /// clean, noise: [B, C, h, w], anywhere; index: [B] int64 of timesteps, on the host.
  torch::Tensor mix(const torch::Tensor& clean, const torch::Tensor& noise, const torch::Tensor& index) const;
  /// What the denoiser is to say of that mixture.
  torch::Tensor target(const torch::Tensor& clean, const torch::Tensor& noise, const torch::Tensor& index) const;
  /// Weight of a sample's loss, [B]: min(snr, gamma) over snr, or over snr + 1 where v is predicted, so that easy timesteps do not count more than
  /// others (arXiv 2303.09556). 1 for flow matching.
  torch::Tensor snr_weight(const torch::Tensor& index, double gamma) const;
};

/// Share of the samples that each of so many timesteps gets, [steps] fp32, sums to 1, in flow matching as diffusers' training examples draw them: by a
/// logit-normal number's place in the schedule, whatever the schedule makes of it.
torch::Tensor logit_normal_draws(std::int64_t steps);

/// Share of the samples that each timestep gets, [steps], sums to 1: as Stable Diffusion 3 draws them (arXiv 2403.03206, section 3.1: logit-normal),
/// carried over to any path by the share of noise sigma / (alpha + sigma): the middle, where letters are decided, gets the most.
torch::Tensor logit_normal_density(const NoisePath& path);

}  // namespace glyphscope
