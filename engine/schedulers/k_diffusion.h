#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "schedulers/scheduler.h"
#include "schedulers/sigmas.h"

namespace glyphscope {

/// A scheduler over noise levels of latents that keep their size as noise is added, as k-diffusion's have it.
struct KDiffusion : Scheduler {
  /// curves: the class has use_karras_sigmas and its like.
  KDiffusion(const Config& config, bool curves, const NoiseSchedule::Betas& fallback = {0.00085, 0.012, "linear"});

  SigmaSpacing spacing;
};

/// One run of it. Calls are steps, unless a class says otherwise.
class KDiffusionRun : public SchedulerRun {
 public:
  KDiffusionRun(const KDiffusion& scheduler, Sigmas sigmas);
  KDiffusionRun(const EdmSpacing& edm, Sigmas sigmas);

  double initial_scale() const override { return scale_; }
  torch::Tensor scale_input(const torch::Tensor& x, size_t call) const override { return x * read(seen(call)).in; }

 protected:
  Preconditioning read(double sigma) const { return edm_ ? Preconditioning::of(*edm_, sigma) : Preconditioning::of(prediction_, sigma); }
  /// The noise level of the latent that the denoiser sees at a call.
  virtual double seen(size_t call) const { return levels_.at(call); }
  torch::Tensor clean(const torch::Tensor& output, const torch::Tensor& x, double sigma) const {
    const Preconditioning how = read(sigma);
    return how.skip * x + how.out * output;
  }
  /// Where noise goes along the probability flow: dx / d sigma.
  torch::Tensor slope(const torch::Tensor& output, const torch::Tensor& x, double sigma) const { return (x - clean(output, x, sigma)) / sigma; }

  std::vector<double> levels_;  // [steps + 1]

 private:
  Prediction prediction_ = Prediction::epsilon;
  std::optional<EdmSpacing> edm_;
  double scale_ = 1;
};

/// A step of two levels with noise: as far down as leaves room for the noise that is added. Source: k-diffusion's ancestral steps.
struct AncestralStep {
  double down, up;
  static AncestralStep between(double from, double to);
};

}  // namespace glyphscope
