#pragma once

#include <torch/types.h>

#include "io/config.h"

namespace glyphscope {

/// What the model's output stands for.
enum class Prediction { epsilon, v, sample, flow };

/// Stable Diffusion's discrete noise schedule: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, t in [0, steps).
/// Source: diffusers `DDIMScheduler.__init__`.
struct NoiseSchedule {
  Prediction prediction = Prediction::epsilon;
  torch::Tensor alphas_cumprod;  ///< [steps] fp32
  std::int64_t steps() const { return alphas_cumprod.size(0); }
  /// Noise over signal, sqrt((1 - a) / a), of each timestep: [steps]. A schedule that ends without signal gets a last value
  /// of 4096, as diffusers has it.
  torch::Tensor sigmas() const;

  /// What a class of scheduler takes where its configuration has none.
  struct Betas {
    double start = 0.0001, end = 0.02;
    const char* schedule = "linear";
  };
  /// Reads beta_schedule, beta_start, beta_end, num_train_timesteps, trained_betas, prediction_type, rescale_betas_zero_snr.
  static NoiseSchedule parse(const Config& config, const Betas& fallback);
  static NoiseSchedule parse(const Config& config) { return parse(config, {}); }
};

Prediction parse_prediction(const Config& config, const std::string& fallback = "epsilon");

}  // namespace glyphscope
