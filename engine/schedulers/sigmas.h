#pragma once

#include <torch/types.h>

#include <optional>
#include <string>
#include <vector>

#include "io/config.h"
#include "schedulers/noise_schedule.h"

namespace glyphscope {

/// The noise levels of a run, high to low, and the timestep that the denoiser is told at each.
struct Sigmas {
  std::vector<double> values;     ///< [steps + 1]: noise over signal, of a flow the share of noise; the last is where the run ends.
  std::vector<double> timesteps;  ///< [steps]
};

/// How a configuration spaces the noise levels of a run. Source: diffusers' `set_timesteps`, which differ by class in what they round.
struct SigmaSpacing {
  enum class Curve { table, karras, exponential, beta, lu };

  NoiseSchedule schedule;
  std::string spacing;  ///< timestep_spacing
  std::int64_t offset = 0;
  Curve curve = Curve::table;
  bool ends_at_zero = true, log_linear = false, continuous = false;
  double lambda_min_clipped = -1e9;
  std::optional<double> lowest, highest;  ///< Ends of a curve, where they are not those of the schedule.
  bool flow = false;                      ///< use_flow_sigmas
  double flow_shift = 1;

  static SigmaSpacing parse(const Config& config, const NoiseSchedule::Betas& fallback = {});

  /// Of the solvers after k-diffusion: timesteps may be fractions. rounded: those of Karras' curve are not.
  Sigmas fractional(std::int64_t steps, bool rounded = false) const;
  /// Of the solvers by log signal-to-noise ratio: whole timesteps, without where the run ends. truncated: those of Karras' curve are not rounded.
  Sigmas whole(std::int64_t steps, bool truncated = false) const;
  /// Where a run ends that does not end without noise.
  double least() const;
};

/// `steps` levels from `high` to `low`. Sources: arXiv 2206.00364, equation 5; k-diffusion's exponential levels; the beta quantiles of arXiv
/// 2407.12173, alpha and beta 0.6.
std::vector<double> along(SigmaSpacing::Curve curve, double high, double low, std::int64_t steps, double rho = 7);

/// The timestep, a fraction, at which a table of noise levels has this one. table: [steps] fp32, ascending.
double timestep_of(double sigma, const torch::Tensor& table);

/// `count` numbers from `first` to `last`, both among them; numpy.linspace.
std::vector<double> linspace(double first, double last, std::int64_t count);

/// The noise levels of EDM (arXiv 2206.00364), which its denoisers are told by a fourth of their logarithm. Source: diffusers `EDMEulerScheduler`.
struct EdmSpacing {
  double lowest = 0.002, highest = 80, deviation = 0.5, rho = 7;  ///< deviation: of the clean latents
  SigmaSpacing::Curve curve = SigmaSpacing::Curve::karras;
  bool ends_at_zero = true;
  Prediction prediction = Prediction::epsilon;
  static EdmSpacing parse(const Config& config);
  Sigmas sigmas(std::int64_t steps) const;
};

/// How a denoiser's output is read at a noise level: the clean latent is skip * latent + out * output, and the denoiser sees in * latent.
/// Source: arXiv 2206.00364, table 1.
struct Preconditioning {
  double in, skip, out;
  static Preconditioning of(Prediction prediction, double sigma);
  static Preconditioning of(const EdmSpacing& edm, double sigma);
};

}  // namespace glyphscope
