#pragma once

#include <torch/types.h>

#include <functional>

#include "core/progress.h"
#include "pipelines/trajectory.h"
#include "schedulers/scheduler.h"

namespace glyphscope {

/// The trajectory that ends in a latent, [1, C, h, w] fp32: each of a run's steps reversed. denoiser: its output, fp32, for a latent and a timestep.
/// refinements: how often a step's start is estimated anew (Inversion::refinements). Throws a Failure if steps are not reversible.
Trajectory invert_latent(const torch::Tensor& latent, const SchedulerRun& run, int refinements,
                         const std::function<torch::Tensor(const torch::Tensor& latent, double timestep)>& denoiser, const ProgressCallback& progress,
                         const CancelToken& cancel);

}  // namespace glyphscope
