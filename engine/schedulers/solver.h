#pragma once

#include <torch/types.h>

#include <deque>
#include <string>

#include "schedulers/scheduler.h"
#include "schedulers/sigmas.h"

namespace glyphscope {

/// Signal, noise and the logarithm of their ratio at a noise level.
struct SolverPoint {
  double alpha, sigma, lambda;
};

/// What the solvers share that step along the log signal-to-noise ratio (arXiv 2206.00927): the levels, and the clean latent or the noise that an
/// output stands for.
class SolverRun : public SchedulerRun {
 protected:
  SolverRun(Sigmas sigmas, const SigmaSpacing& spacing, const Thresholding& thresholding);

  virtual SolverPoint point(size_t level) const;
  virtual torch::Tensor clean(const torch::Tensor& output, size_t call, const torch::Tensor& x) const;
  torch::Tensor noise(const torch::Tensor& output, size_t call, const torch::Tensor& x) const;
  /// Of the last `count` calls, the newest first.
  void remember(const torch::Tensor& estimate, std::int64_t count);
  bool is_last(size_t call) const { return call + 1 == timesteps_.size(); }

  std::vector<double> levels_;  // [calls + 1]
  std::deque<torch::Tensor> estimates_;
  Thresholding thresholding_;

 private:
  Prediction prediction_;
  bool flow_;
};

/// A shift of a flow's noise levels that depends on how many tokens the picture has. Source: diffusers' `calculate_shift`.
struct DynamicShift {
  bool on = false;
  double fewest = 256, most = 4096, low = 0.5, high = 1.15;  ///< Tokens, and the logarithms of the shifts that go with them.
  static DynamicShift parse(const Config& config);
  double mu(std::int64_t tokens) const;
  SigmaSpacing applied(SigmaSpacing spacing, std::int64_t tokens) const;
};

/// Throws a Failure if a flow is to follow a curve that only noise over signal has.
void check_solver(const SigmaSpacing& spacing, const Config& config);

/// The exponential integrators of DPM-Solver (arXiv 2206.00927) and DPM-Solver++ (arXiv 2211.01095), of their probability-flow and stochastic
/// equations.
struct DpmAlgorithm {
  bool data = true, stochastic = false;  ///< It integrates the clean latent, not the noise; it adds noise at each step.
  bool heun = false;                     ///< How the second order takes the slope; else by the midpoint.
  /// algorithm_type and solver_type; names that belong to its relatives are read as diffusers does.
  static DpmAlgorithm parse(const Config& config);

  /// The latent at `to` from that at `from`: weights of the latent, of the estimate and its first and second difference, and of noise.
  struct Weights {
    double x, estimate, first, second, noise;
  };
  Weights weights(const SolverPoint& from, const SolverPoint& to, int order) const;
};

/// Throws a Failure if a solver of the noise is to end without any, or to read a flow.
void check_noise_prediction(const DpmAlgorithm& algorithm, const SigmaSpacing& spacing, const Config& config);

}  // namespace glyphscope
